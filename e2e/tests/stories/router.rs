//! The router is restarted, told to end and killed, and so is the engine, while visitors come: some hundreds of requests a second, half
//! of them on new connections, half on kept ones, and none of them tried twice.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use windlass_testkit::{App, Engine, files, run_in, wait_until};

/// How many visitors there are; none has more than one request in flight.
const VISITORS: usize = 24;
/// How often each asks: together nearly five hundred times a second.
const EVERY: Duration = Duration::from_millis(50);

/// What went wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trouble {
    /// No connection: what must never happen.
    Refused(String),
    /// Reset, or closed before the whole answer came.
    Broken(String),
    /// Another answer than 200.
    Status(String),
}

#[derive(Default)]
struct Notes {
    done: AtomicBool,
    /// When each served request was answered.
    served: Mutex<Vec<Instant>>,
    troubles: Mutex<Vec<Trouble>>,
}

struct Load {
    notes: Arc<Notes>,
    visitors: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(router: &str, host: &str) -> Self {
        let notes = Arc::new(Notes::default());
        let visitors =
            (0..VISITORS).map(|n| tokio::spawn(visit(router.to_owned(), host.to_owned(), n % 2 == 0, notes.clone())));
        Self {
            visitors: visitors.collect(),
            notes,
        }
    }

    fn served(&self) -> usize {
        self.notes.served.lock().unwrap().len()
    }

    /// Waits until many more requests were served.
    async fn goes_on(&self) {
        let before = self.served();
        wait_until("visitors are served", Duration::from_secs(30), || async {
            self.served() > before + 200
        })
        .await;
    }

    fn take_troubles(&self) -> Vec<Trouble> {
        std::mem::take(&mut self.notes.troubles.lock().unwrap())
    }

    #[track_caller]
    fn must_be_without_trouble(&self, after: &str) {
        assert_eq!(self.take_troubles(), [], "after {after}, with {} served", self.served());
    }

    /// The longest time since then in which nobody was answered.
    fn gap(&self, since: Instant) -> Duration {
        let served = self.notes.served.lock().unwrap();
        let mut answers: Vec<Instant> = served.iter().copied().filter(|answered| *answered > since).collect();
        answers.insert(0, since);
        answers.sort_unstable();
        let gaps = answers.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.max().expect("somebody was served since")
    }

    /// Ends the visits; says how many there were.
    async fn end(self) -> String {
        self.notes.done.store(true, SeqCst);
        for visitor in self.visitors {
            visitor.await.unwrap();
        }
        let served = self.notes.served.lock().unwrap();
        let (first, last) = (served.iter().min().unwrap(), served.iter().max().unwrap());
        let seconds = (*last - *first).as_secs_f64();
        let rate = served.len() as f64 / seconds;
        format!(
            "{} requests served in {seconds:.1} s, {rate:.0} per second",
            served.len()
        )
    }
}

/// Asks at a steady pace; after trouble on a new connection.
async fn visit(router: String, host: String, keep: bool, notes: Arc<Notes>) {
    let mut pace = interval(EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut kept = None;
    while !notes.done.load(SeqCst) {
        pace.tick().await;
        match ask(kept.take(), &router, &host, keep).await {
            Ok(stream) => {
                kept = stream;
                notes.served.lock().unwrap().push(Instant::now());
            }
            Err(trouble) => notes.troubles.lock().unwrap().push(trouble),
        }
    }
}

/// One request and its whole answer. Gives back the connection if it may be used again.
async fn ask(kept: Option<TcpStream>, router: &str, host: &str, keep: bool) -> Result<Option<TcpStream>, Trouble> {
    let broken = |error: std::io::Error| Trouble::Broken(error.to_string());
    let mut stream = match kept {
        Some(stream) => stream,
        None => TcpStream::connect(router)
            .await
            .map_err(|e| Trouble::Refused(e.to_string()))?,
    };
    let connection = if keep { "keep-alive" } else { "close" };
    let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut answer = Vec::new();
    loop {
        if stream.read_buf(&mut answer).await.map_err(broken)? == 0 {
            return Err(Trouble::Broken(format!(
                "closed after {:?}",
                String::from_utf8_lossy(&answer)
            )));
        }
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && is_whole(head, body)
        {
            let (head, closes) = (head.to_lowercase(), !keep);
            if !head.starts_with("http/1.1 200") {
                return Err(Trouble::Status(text.into_owned()));
            }
            let closes = closes || head.contains("connection: close");
            return Ok((!closes).then_some(stream));
        }
    }
}

fn is_whole(head: &str, body: &str) -> bool {
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.map_or_else(
        || body.ends_with("0\r\n\r\n"),
        |length| body.len() >= length.parse().unwrap(),
    )
}

/// The process ids of the routers that live, that of the one which serves first.
fn routers(engine: &Engine) -> Vec<u32> {
    let folder = engine.data_dir().join("router");
    let serving = fs::metadata(folder.join("control.sock")).map_or(0, |file| file.ino());
    let mut found: Vec<(bool, u32)> = Vec::new();
    for entry in fs::read_dir(&folder).unwrap().flatten() {
        let pid = entry.path().file_stem().and_then(|name| name.to_str()?.parse().ok());
        if let (Some(pid), Ok(file)) = (pid, entry.metadata())
            && Path::new(&format!("/proc/{pid}")).exists()
        {
            found.push((file.ino() != serving, pid));
        }
    }
    found.sort_unstable();
    found.into_iter().map(|(_, pid)| pid).collect()
}

async fn signal(pid: u32, signal: &str) {
    run_in(Path::new("/"), "kill", &[signal, &pid.to_string()])
        .await
        .must_succeed();
}

async fn another_serves(engine: &Engine, before: u32) {
    wait_until("another router serves", Duration::from_secs(30), || async {
        routers(engine).first().is_some_and(|pid| *pid != before)
    })
    .await;
}

async fn story() -> (Engine, App, Load) {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    shop.push(&files::saying("one")).await.must_succeed();
    let load = Load::start(&engine.router(), &shop.host());
    load.goes_on().await;
    load.must_be_without_trouble("the start");
    (engine, shop, load)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarting_the_router_costs_no_request() {
    let (engine, shop, load) = story().await;
    for round in 0..4 {
        let before = routers(&engine)[0];
        let said = engine.windlassd(&["router", "restart"]).await.must_succeed();
        assert!(said.contains(&before.to_string()), "{said}");
        assert_ne!(routers(&engine)[0], before);
        load.goes_on().await;
        load.must_be_without_trouble(&format!("restart {round}"));
    }
    // The old ones have not ended yet: they must hear of the new instances too, and these must not lose the requests of any router.
    shop.push(&files::saying("two")).await.must_succeed();
    shop.must_say("two").await;
    load.must_be_without_trouble("a deployment beside routers that drain");

    let before = routers(&engine)[0];
    signal(before, "-TERM").await;
    another_serves(&engine, before).await;
    load.goes_on().await;
    load.must_be_without_trouble("SIGTERM to the router");
    wait_until("the old routers have ended", Duration::from_secs(60), || async {
        routers(&engine).len() == 1
    })
    .await;
    println!("{}, none lost", load.end().await);
}

/// Kills the router, and says how long nobody was served.
async fn kill_the_router(engine: &Engine, load: &Load) {
    let before = routers(engine)[0];
    let killed = Instant::now();
    signal(before, "-KILL").await;
    another_serves(engine, before).await;
    load.goes_on().await;
    let (gap, troubles) = (load.gap(killed), load.take_troubles());
    println!(
        "kill -9 of the router: nobody served for {gap:?}, {} requests cut off",
        troubles.len()
    );
    assert!(troubles.len() <= VISITORS, "{troubles:#?}");
    assert!(
        troubles.iter().all(|trouble| matches!(trouble, Trouble::Broken(_))),
        "{troubles:#?}"
    );
    // The promise is half a second; here other work may go on.
    assert!(gap < Duration::from_secs(2), "{gap:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_router_refuses_nobody_and_killing_the_engine_costs_no_request() {
    let (mut engine, _shop, load) = story().await;
    for _ in 0..3 {
        kill_the_router(&engine, &load).await;
    }

    let router = routers(&engine)[0];
    engine.kill9();
    load.goes_on().await;
    engine.restart().await;
    load.goes_on().await;
    load.must_be_without_trouble("kill -9 and restart of the engine");
    assert_eq!(routers(&engine), [router], "the new engine adopts the router");

    // It got the listening socket from the router.
    kill_the_router(&engine, &load).await;
    engine.restart().await;
    let said = engine.windlassd(&["router", "restart"]).await.must_succeed();
    load.goes_on().await;
    load.must_be_without_trouble(&said);
    println!("{}", load.end().await);
}
