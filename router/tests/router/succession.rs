use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Semaphore, oneshot},
    task::JoinHandle,
    time::timeout,
};
use windlass_domain::{Route, RouteTable};
use windlass_router::{
    ControlSocket, Limits, RouterConfig, RouterError,
    control::{self, ControlClient, Sign},
};

use crate::support::{App, Client, PATIENCE, full, http2, read, read_until, request, route, wait_until};

/// One of the routers of a folder.
struct Member {
    control: ControlClient,
    ended: JoinHandle<Result<(), RouterError>>,
    _stop: oneshot::Sender<()>,
}

impl Member {
    async fn start(folder: &Path, name: &str, http: Vec<TcpListener>) -> Self {
        let own = folder.join(name);
        let config = RouterConfig {
            http,
            control: ControlSocket::Successor {
                own: own.clone(),
                current: folder.join("control.sock"),
            },
            table_file: folder.join("table.json"),
            workers: Some(2.try_into().unwrap()),
            limits: Limits {
                keep_alive_grace: Duration::from_millis(800),
                ..Limits::default()
            },
            version: "1.2.3".to_owned(),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(windlass_router::run(config, async {
            let _ = stopped.await;
        }));
        let control = ControlClient::new(own);
        wait_until("the router is up", || async { control.status().await.is_ok() }).await;
        Self {
            control,
            ended,
            _stop: stop,
        }
    }

    /// The first of a folder, which sends every request for `shop.test` to this app.
    async fn first(folder: &Path, app: &App) -> (Self, SocketAddr) {
        let (http, address) = listener();
        let router = Self::start(folder, "1.sock", vec![http]).await;
        router.apply(1, vec![route("shop.test", "/", &[app])]).await;
        (router, address)
    }

    async fn ended(self) {
        timeout(PATIENCE, self.ended).await.unwrap().unwrap().unwrap();
    }

    async fn stop(self) {
        self.control.shutdown().await.unwrap();
        self.ended().await;
    }

    async fn apply(&self, generation: u64, routes: Vec<Route>) {
        self.control.apply(RouteTable { generation, routes }).await.unwrap();
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[derive(Default)]
struct Visits {
    served: AtomicU32,
    enough: AtomicBool,
}

/// Asks again and again, on a new connection each time or on one as long as it is kept.
async fn visit(address: SocketAddr, keep: bool, visits: Arc<Visits>) -> Result<(), String> {
    let mut kept: Option<TcpStream> = None;
    while !visits.enough.load(SeqCst) {
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => TcpStream::connect(address).await.map_err(|e| format!("connect: {e}"))?,
        };
        let head = if keep { "" } else { "connection: close\r\n" };
        let request = format!("GET / HTTP/1.1\r\nhost: shop.test\r\n{head}\r\n");
        stream
            .write_all(request.as_bytes())
            .await
            .map_err(|e| format!("write: {e}"))?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\napp") {
            let n = stream.read_buf(&mut answer).await.map_err(|e| format!("read: {e}"))?;
            if n == 0 {
                return Err(format!("ended early: {:?}", String::from_utf8_lossy(&answer)));
            }
        }
        let answer = String::from_utf8(answer).unwrap();
        if !answer.starts_with("HTTP/1.1 200") {
            return Err(answer);
        }
        if keep && !answer.to_lowercase().contains("connection: close") {
            kept = Some(stream);
        }
        visits.served.fetch_add(1, SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routers_succeed_each_other_under_load_without_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::named("app").await;
    let (mut router, address) = Member::first(folder.path(), &app).await;
    let visits = Arc::new(Visits::default());
    let visitors: Vec<_> = (0..6)
        .map(|n| tokio::spawn(visit(address, n % 2 == 0, Arc::clone(&visits))))
        .collect();
    for name in ["2.sock", "3.sock", "4.sock", "5.sock"] {
        let served = visits.served.load(SeqCst);
        wait_until("visits go on", || async { visits.served.load(SeqCst) > served + 50 }).await;
        let http = router.control.listeners().await.unwrap();
        assert_eq!(http[0].local_addr().unwrap(), address);
        let next = Member::start(folder.path(), name, http).await;
        assert_eq!(next.control.status().await.unwrap().generation, 1);
        std::mem::replace(&mut router, next).stop().await;
    }
    visits.enough.store(true, SeqCst);
    for visitor in visitors {
        assert_eq!(timeout(PATIENCE, visitor).await.unwrap().unwrap(), Ok(()));
    }
    router.stop().await;
}

#[tokio::test]
async fn connections_wait_while_no_router_lives_as_long_as_somebody_holds_the_listener() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::named("app").await;
    let (router, address) = Member::first(folder.path(), &app).await;
    let held = router.control.listeners().await.unwrap();
    router.stop().await;
    let waiting = tokio::spawn(async move {
        let mut client = Client::connect(address).await;
        client.send(request("GET", "shop.test", "/")).await
    });
    wait_until("the connection is made", || async {
        let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let port = format!(":{:04X} ", address.port());
        connections
            .lines()
            .any(|line| line.contains(&port) && line.contains(" 01 "))
    })
    .await;
    let router = Member::start(folder.path(), "2.sock", held).await;
    assert_eq!(waiting.await.unwrap().body, "app");
    router.stop().await;
}

#[tokio::test]
async fn a_router_that_closes_lets_go_of_its_listener_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let app = held_app(&gate).await;
    let (router, address) = Member::first(folder.path(), &app).await;
    let waiting = start_request(&router, address).await;
    router.control.shutdown().await.unwrap();
    assert!(router.control.listeners().await.unwrap().is_empty());
    wait_until("the port is free", || async { TcpListener::bind(address).is_ok() }).await;
    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap(), "done");
    router.ended().await;
}

async fn held_app(gate: &Arc<Semaphore>) -> App {
    let gate = Arc::clone(gate);
    App::serve(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            http::Response::new(full("done"))
        }
    })
    .await
}

/// Sends a request and returns once it is in flight.
async fn start_request(router: &Member, address: SocketAddr) -> JoinHandle<String> {
    let waiting = tokio::spawn(async move {
        let mut client = Client::connect(address).await;
        client.send(request("GET", "shop.test", "/")).await.body
    });
    wait_until("it is in flight", || async {
        !router.control.status().await.unwrap().in_flight.is_empty()
    })
    .await;
    waiting
}

#[tokio::test]
async fn the_common_name_passes_to_the_successor_and_both_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let (app, other) = (held_app(&gate).await, App::named("other").await);
    let (http, address) = listener();
    let common = ControlClient::new(folder.path().join("control.sock"));
    let found = || control::in_folder(folder.path()).unwrap().len();
    // What a killed router has left.
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("7.sock")).unwrap());
    let old = Member::start(folder.path(), "1.sock", vec![http]).await;
    assert!(!folder.path().join("7.sock").exists());
    assert_eq!(found(), 1);
    old.apply(1, vec![route("shop.test", "/", &[&app])]).await;
    let waiting = start_request(&old, address).await;

    let new = Member::start(folder.path(), "2.sock", old.control.listeners().await.unwrap()).await;
    old.control.shutdown().await.unwrap();
    assert_eq!(found(), 2, "one that drains is found too");
    common
        .apply(RouteTable {
            generation: 2,
            routes: vec![route("shop.test", "/", &[&other])],
        })
        .await
        .unwrap();
    assert_eq!(new.control.status().await.unwrap().generation, 2);
    let (draining, serving) = (old.control.status().await.unwrap(), common.status().await.unwrap());
    assert!(draining.closing && !serving.closing);
    assert_eq!(draining.in_flight.get(&app.instance), Some(&1));
    assert_eq!((draining.generation, serving.version.as_str()), (1, "1.2.3"));

    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap(), "done");
    old.ended().await;
    assert_eq!(found(), 1);
    assert!(common.status().await.is_ok(), "the old router left the name alone");
    new.stop().await;
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "only the table stays"
    );
}

#[tokio::test]
async fn a_router_that_closes_takes_tables_but_leaves_the_file_to_its_successor() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let app = held_app(&gate).await;
    let (router, address) = Member::first(folder.path(), &app).await;
    let waiting = start_request(&router, address).await;
    router.control.shutdown().await.unwrap();
    let table = RouteTable {
        generation: 2,
        routes: vec![],
    };
    let ack = router.control.apply(table.clone()).await.unwrap();
    assert!(ack.closing && !ack.persisted);
    let on_disk: RouteTable =
        serde_json::from_slice(&std::fs::read(folder.path().join("table.json")).unwrap()).unwrap();
    assert_eq!(on_disk.generation, 1);
    assert_eq!(router.control.table().await.unwrap(), table);
    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap(), "done");
    router.ended().await;
}

#[tokio::test]
async fn who_watches_hears_of_a_wanted_replacement_of_the_end_and_of_the_death() {
    let folder = tempfile::tempdir().unwrap();
    let (http, address) = listener();
    let router = Member::start(folder.path(), "1.sock", vec![http]).await;
    assert!(!router.control.replace().await.unwrap(), "nobody watches");
    let mut vigil = router.control.watch().await.unwrap();
    let mut second = router.control.watch().await.unwrap();
    // It lets the router drain for a while.
    let _idle = TcpStream::connect(address).await.unwrap();
    wait_until("the connection is accepted", || async {
        router.control.status().await.unwrap().connections == 1
    })
    .await;
    assert!(router.control.replace().await.unwrap());
    assert_eq!(vigil.next().await, Sign::Replace);
    router.control.shutdown().await.unwrap();
    assert_eq!(vigil.next().await, Sign::Stopping);
    assert_eq!(vigil.next().await, Sign::Gone);
    router.ended().await;
    assert_eq!(second.next().await, Sign::Replace);
    assert_eq!(second.next().await, Sign::Stopping);
    assert_eq!(second.next().await, Sign::Gone);
}

#[tokio::test]
async fn an_idle_connection_gets_one_more_answer_that_says_close_and_is_closed_if_it_asks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::named("app").await;
    let (router, address) = Member::first(folder.path(), &app).await;
    let (mut asking, mut silent) = (
        Client::connect(address).await,
        TcpStream::connect(address).await.unwrap(),
    );
    assert!(
        asking
            .send(request("GET", "shop.test", "/"))
            .await
            .headers
            .get("connection")
            .is_none()
    );
    silent
        .write_all(b"GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut silent, "app").await;
    let asked = Instant::now();
    router.control.shutdown().await.unwrap();
    let last = asking.send(request("GET", "shop.test", "/")).await;
    assert_eq!(
        (last.body.as_str(), &last.headers["connection"]),
        ("app", &"close".parse().unwrap())
    );
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    assert!(asked.elapsed() >= Duration::from_millis(700), "{:?}", asked.elapsed());
    router.ended().await;
}

#[tokio::test]
async fn an_http2_connection_is_told_to_go_and_its_requests_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let app = held_app(&gate).await;
    let (router, address) = Member::first(folder.path(), &app).await;
    let mut sender = http2(address).await;
    let uri = "http://shop.test/";
    let first = http::Request::get(uri).body(Default::default()).unwrap();
    let waiting = tokio::spawn(sender.send_request(first));
    wait_until("it is in flight", || async {
        !router.control.status().await.unwrap().in_flight.is_empty()
    })
    .await;
    router.control.shutdown().await.unwrap();
    gate.add_permits(1);
    assert_eq!(read(waiting.await.unwrap().unwrap()).await.body, "done");
    router.ended().await;
    wait_until("the connection has ended", || async { sender.is_closed() }).await;
}
