//! The router as a process: alone on a machine (`windlassd --roles router`), and in the place of one of another version.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that cannot go on should stop, and its name says what it is for"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixListener,
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;
use windlass_domain::{InstanceId, Route, RouteTable, Upstream};
use windlass_router::{
    ControlSocket, Limits, RouterConfig,
    control::{ControlClient, RouterStatus},
};

fn data_dir() -> TempDir {
    tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in("/tmp")
        .unwrap()
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

/// The soft limit of open files that systemd starts a service with.
const AS_SYSTEMD: &str = "ulimit -S -n 1024; exec \"$@\"";

/// An engine that ends with the test, whatever happens.
struct Engine(Child);

impl Engine {
    fn start(roles: &str, data_dir: &Path, router_http: &str) -> Self {
        Self::start_with(roles, data_dir, router_http, &[])
    }

    fn start_with(roles: &str, data_dir: &Path, router_http: &str, environment: &[(&str, &str)]) -> Self {
        let child = Command::new("/bin/sh")
            .args([
                "-c",
                AS_SYSTEMD,
                "sh",
                env!("CARGO_BIN_EXE_windlassd"),
                "run",
                "--roles",
                roles,
            ])
            .env_clear()
            .envs(environment.iter().copied())
            .env("PATH", "/usr/bin:/bin")
            .env("WINDLASS_DATA_DIR", data_dir)
            .env("WINDLASS_ROUTER_HTTP", router_http)
            .env("WINDLASS_API_LISTEN", free_address())
            .stdout(Stdio::null())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn terminate(&mut self) -> Duration {
        let asked = Instant::now();
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().success());
        asked.elapsed()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn answer(data_dir: &Path, engine: &mut Engine, wanted: fn(&RouterStatus) -> bool) -> RouterStatus {
    let client = ControlClient::new(data_dir.join("router/control.sock"));
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match client.status().await {
            Ok(status) if wanted(&status) => return status,
            answer => assert!(Instant::now() < deadline, "{answer:?}"),
        }
        assert!(engine.0.try_wait().unwrap().is_none(), "the router has ended");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_router_alone_is_unprivileged_owns_its_folder_and_ends_soon_after_its_signal() {
    let temp = data_dir();
    let mut engine = Engine::start("router", temp.path(), &free_address());
    let status = answer(temp.path(), &mut engine, |_| true).await;
    assert_eq!(status.pid, engine.0.id());
    let user = fs::metadata(format!("/proc/{}", status.pid)).unwrap().uid();
    assert_ne!(user, 0);
    let folder = fs::metadata(temp.path().join("router")).unwrap();
    assert_eq!((folder.uid(), folder.mode() & 0o777), (user, 0o700));
    must_have_all_descriptors(status.pid);
    assert!(engine.terminate() < Duration::from_secs(3));
    assert!(!temp.path().join("router/control.sock").exists());
}

#[track_caller]
fn must_have_all_descriptors(pid: u32) {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .unwrap();
    let files: Vec<&str> = files.split_whitespace().collect();
    assert_eq!(files[0], files[1], "the soft limit is the hard one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_does_not_answer_the_router_serves_its_last_table_and_is_looked_after() {
    let temp = data_dir();
    let table = RouteTable {
        generation: 7,
        routes: vec![route_to(app().await)],
    };
    fs::create_dir(temp.path().join("router")).unwrap();
    fs::write(
        temp.path().join("router/table.json"),
        serde_json::to_vec(&table).unwrap(),
    )
    .unwrap();
    let database = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("postgres://windlass@{}/windlass", database.local_addr().unwrap());
    let http = free_address();
    let environment = [("DATABASE_URL", nobody.as_str())];
    let mut engine = Engine::start_with("api,worker,router", temp.path(), &http, &environment);
    let first = answer(temp.path(), &mut engine, |status| status.generation == 7).await;
    must_have_all_descriptors(first.pid);
    let address = http.parse().unwrap();
    assert!(ask_and_wait(address).await.ends_with("app"));

    // By the time that the engine asks for the database, it looks after the router.
    let _asked = database.accept().await.unwrap();
    kill_process(Pid::from_raw(first.pid.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
    until_it_is_gone(first.pid).await;
    assert!(ask_and_wait(address).await.ends_with("app"), "another router serves");
    assert!(engine.terminate() < Duration::from_secs(10));
    end_router(temp.path()).await;
}

/// A router of another version, as far as the engine can tell: asked to end, it goes on answering for as many questions as a
/// drain may take; its port is free at once.
fn old_router(data_dir: &Path) -> (String, std::thread::JoinHandle<()>) {
    const ANSWERS_WHILE_DRAINING: usize = 20;
    let folder = data_dir.join("router");
    fs::create_dir(&folder).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap().to_string();
    let path = folder.join("control.sock");
    let control = UnixListener::bind(&path).unwrap();
    let old = std::thread::spawn(move || {
        let mut port = Some(port);
        let mut left = None;
        while left != Some(0) {
            let (mut stream, _) = control.accept().unwrap();
            let mut question = String::new();
            BufReader::new(&stream).read_line(&mut question).unwrap();
            let stop = question.contains("shutdown");
            let answer = if stop { STOPPING } else { STATUS };
            stream.write_all(answer.as_bytes()).unwrap();
            if stop {
                drop(port.take());
            }
            left = left.map_or_else(|| stop.then_some(ANSWERS_WHILE_DRAINING), |left| Some(left - 1));
        }
        fs::remove_file(path).unwrap();
    });
    (address, old)
}

const STOPPING: &str = "{\"answer\":\"stopping\"}\n";
const STATUS: &str = "{\"answer\":\"status\",\"generation\":7,\"in_flight\":{},\"requests_total\":0,\"connections\":1,\
    \"ejected\":[],\"version\":\"0.0.1\",\"pid\":1}\n";

#[tokio::test]
async fn a_router_of_another_version_is_replaced_only_when_it_has_drained() {
    let temp = data_dir();
    let (address, old) = old_router(temp.path());
    let mut engine = Engine::start("api,worker,router", temp.path(), &address);
    let status = answer(temp.path(), &mut engine, |status| status.version != "0.0.1").await;
    assert!(old.is_finished());
    assert_ne!(status.pid, 1);
    assert!(temp.path().join("log/router.log").exists());
    assert!(engine.terminate() < Duration::from_secs(5));
    let client = ControlClient::new(temp.path().join("router/control.sock"));
    assert_eq!(client.status().await.unwrap().pid, status.pid, "it outlives its engine");
    client.shutdown().await.unwrap();
    while client.status().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A router of another version that can hand over its socket, in this process, with an app behind it.
struct Serving {
    address: SocketAddr,
    ended: tokio::task::JoinHandle<Result<(), windlass_router::RouterError>>,
}

/// No engine goes on from this number, so that none replaces the table by its own, which has no apps.
const NEWEST: u64 = u64::MAX / 2;

impl Serving {
    async fn start(data_dir: &Path, version: &str) -> Self {
        let folder = data_dir.join("router");
        fs::create_dir(&folder).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let own = folder.join(format!("{}.sock", std::process::id()));
        let config = RouterConfig {
            http: vec![listener],
            control: ControlSocket::Successor {
                own: own.clone(),
                current: folder.join("control.sock"),
            },
            table_file: folder.join("table.json"),
            workers: Some(1.try_into().unwrap()),
            limits: Limits::default(),
            version: version.to_owned(),
        };
        let ended = tokio::spawn(windlass_router::run(config, std::future::pending()));
        let (client, deadline) = (ControlClient::new(own), Instant::now() + Duration::from_secs(10));
        while client.status().await.is_err() {
            assert!(Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
        let table = RouteTable {
            generation: NEWEST,
            routes: vec![route_to(app().await)],
        };
        client.apply(table).await.unwrap();
        Self { address, ended }
    }
}

fn route_to(address: SocketAddr) -> Route {
    Route {
        app: "shop".parse().unwrap(),
        process: "web".parse().unwrap(),
        host: "shop.test".parse().unwrap(),
        path: "/".to_owned(),
        middlewares: vec![],
        upstreams: vec![Upstream {
            instance: InstanceId::generate(),
            address,
        }],
    }
}

/// Answers every request, one per connection.
async fn app() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap_or(0) > 0 {}
                let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\napp";
                let _ = stream.write_all(answer).await;
            });
        }
    });
    address
}

/// Asks again and again on new connections until told to stop; gives how often it was answered, or what else happened.
async fn visit(address: SocketAddr, enough: CancellationToken) -> Result<u32, String> {
    let mut served = 0;
    while !enough.is_cancelled() {
        let mut answer = String::new();
        let asked = async {
            let mut stream = TcpStream::connect(address).await?;
            let request = b"GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n";
            stream.write_all(request).await?;
            stream.read_to_string(&mut answer).await
        };
        asked.await.map_err(|error| error.to_string())?;
        if !(answer.starts_with("HTTP/1.1 200") && answer.ends_with("app")) {
            return Err(answer);
        }
        served += 1;
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    Ok(served)
}

async fn end_router(data_dir: &Path) {
    let client = ControlClient::new(data_dir.join("router/control.sock"));
    client.shutdown().await.unwrap();
    while client.status().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_replaces_the_router_under_load_without_losing_a_request() {
    let temp = data_dir();
    let old = Serving::start(temp.path(), "0.0.1").await;
    let enough = CancellationToken::new();
    let visitor = tokio::spawn(visit(old.address, enough.clone()));
    let mut engine = Engine::start("api,worker,router", temp.path(), &old.address.to_string());
    let status = answer(temp.path(), &mut engine, |status| status.version != "0.0.1").await;
    assert_eq!(status.generation, NEWEST, "it has the table of the old one");
    tokio::time::timeout(Duration::from_secs(60), old.ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    answer(temp.path(), &mut engine, |status| status.requests_total > 100).await;
    enough.cancel();
    let served = visitor.await.unwrap();
    assert!(served.as_ref().is_ok_and(|served| *served > 100), "{served:?}");
    assert!(engine.terminate() < Duration::from_secs(10));
    end_router(temp.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_on_another_address_than_the_configured_one_is_replaced() {
    let temp = data_dir();
    let old = Serving::start(temp.path(), env!("CARGO_PKG_VERSION")).await;
    let wanted = free_address();
    let mut engine = Engine::start("api,worker,router", temp.path(), &wanted);
    let status = answer(temp.path(), &mut engine, |status| status.pid != std::process::id()).await;
    assert_eq!(status.generation, NEWEST);
    let enough = CancellationToken::new();
    let visitor = tokio::spawn(visit(wanted.parse().unwrap(), enough.clone()));
    answer(temp.path(), &mut engine, |status| status.requests_total > 10).await;
    enough.cancel();
    assert!(visitor.await.unwrap().is_ok());
    tokio::time::timeout(Duration::from_secs(60), old.ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(
        TcpStream::connect(old.address).await.is_err(),
        "the old address is free"
    );
    assert!(engine.terminate() < Duration::from_secs(10));
    end_router(temp.path()).await;
}

/// Asks once, on a connection that waits for as long as it takes; gives the head of the answer.
async fn ask_and_wait(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.expect("nobody is refused");
    let request = b"GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("nobody is cut off");
    answer
}

/// Returns when all its threads stand still: on a busy machine one of them may go on for a while, and take a connection with it.
async fn stop_process(pid: u32) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), Signal::STOP).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let mut states = threads.map(|thread| fs::read_to_string(thread.path().join("stat")).unwrap_or_default());
        if states.all(|stat| stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))) {
            return;
        }
        assert!(Instant::now() < deadline, "{pid} does not stop");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A process that ended and that nobody has waited for is still listed.
fn lives(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status
        .rsplit_once(") ")
        .is_some_and(|(_, state)| !state.starts_with('Z'))
}

async fn until_it_is_gone(pid: u32) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while lives(pid) {
        assert!(Instant::now() < deadline, "router {pid} hangs on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_hangs_is_replaced_and_refuses_nobody_meanwhile() {
    // Three questions of 5 s each; what is beyond is for a machine with much else to do.
    const NOTICED_WITHIN: Duration = Duration::from_secs(45);
    let temp = data_dir();
    let old = Serving::start(temp.path(), "0.0.1").await;
    let mut engine = Engine::start("api,worker,router", temp.path(), &old.address.to_string());
    let first = answer(temp.path(), &mut engine, |status| status.version != "0.0.1").await;
    tokio::time::timeout(NOTICED_WITHIN, old.ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap();

    stop_process(first.pid).await;
    let asked = Instant::now();
    let answered = tokio::time::timeout(NOTICED_WITHIN, ask_and_wait(old.address)).await;

    let answered = answered.expect("another router serves");
    assert!(
        answered.starts_with("HTTP/1.1 200") && answered.ends_with("app"),
        "{answered}"
    );
    println!("served {:?} after the router was stopped", asked.elapsed());
    let second = answer(temp.path(), &mut engine, |_| true).await;
    assert_ne!(second.pid, first.pid);
    until_it_is_gone(first.pid).await;

    // Nobody looks after it now: the next engine finds a router that cannot hand its socket over.
    engine.0.kill().unwrap();
    engine.0.wait().unwrap();
    stop_process(second.pid).await;
    let mut engine = Engine::start("api,worker,router", temp.path(), &old.address.to_string());
    let third = answer(temp.path(), &mut engine, |_| true).await;
    assert_ne!(third.pid, second.pid);
    until_it_is_gone(second.pid).await;
    assert!(ask_and_wait(old.address).await.starts_with("HTTP/1.1 200"));
    assert!(engine.terminate() < Duration::from_secs(10));

    stop_process(third.pid).await;
    // The common name goes with a successor that ends.
    fs::remove_file(temp.path().join("router/control.sock")).unwrap();
    let said = stop_all(temp.path());
    assert!(said.contains("The router did not answer any more"), "{said}");
    until_it_is_gone(third.pid).await;
    let said = stop_all(temp.path());
    assert!(said.contains("No router runs"), "{said}");
}

/// What `windlassd stop --all` says.
fn stop_all(data_dir: &Path) -> String {
    let stopped = Command::new(env!("CARGO_BIN_EXE_windlassd"))
        .args(["stop", "--all"])
        .env_clear()
        .env("WINDLASS_DATA_DIR", data_dir)
        .output()
        .unwrap();
    assert!(stopped.status.success(), "{stopped:?}");
    String::from_utf8(stopped.stdout).unwrap()
}
