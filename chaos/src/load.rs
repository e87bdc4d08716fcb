//! Visitors: a fixed number of requests each second over all apps, whatever the answers, while faults are injected.
//!
//! Some come on new connections and some on kept ones, some ask for something slow, and a few hold a tunnel open as a WebSocket does.
//! A request on a kept connection that breaks before a single byte of an answer came is sent once more on a new one, as every HTTP
//! client does (RFC 9110, 9.2.2): a server may close an idle connection at any time. These are counted apart.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{MissedTickBehavior, timeout},
};

use crate::seed::Chance;

/// What visitors do.
#[derive(Debug, Clone, Copy)]
pub struct Visits {
    /// Requests a second over all apps.
    pub rate: u32,
    /// How many in a hundred take 2 s to be answered.
    pub slow_percent: u32,
    /// How many in a hundred come on a connection of their own.
    pub fresh_percent: u32,
    /// Tunnels held open on each app.
    pub tunnels: u32,
}

impl Default for Visits {
    fn default() -> Self {
        Self {
            rate: 200,
            slow_percent: 2,
            fresh_percent: 30,
            tunnels: 2,
        }
    }
}

/// No good answer takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request that was not answered as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// When, since the visits began.
    pub at: Duration,
    /// The app.
    pub app: String,
    /// What came in place of the answer.
    pub what: String,
}

/// What visitors met with.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    /// Requests sent.
    pub sent: u64,
    /// Those of them that were sent once more, because their kept connection had been closed while it was idle.
    pub again: u64,
    /// Tunnels that were closed, and opened again.
    pub tunnels_closed: u64,
    /// What failed.
    pub misses: Vec<Miss>,
    /// The longest time that an answer took.
    pub slowest: Duration,
}

impl Traffic {
    /// The failures by when they were: failures less than a second apart make a burst, with its beginning, its end and their number.
    pub fn bursts(&self) -> Vec<(Duration, Duration, usize)> {
        let mut times: Vec<Duration> = self.misses.iter().map(|miss| miss.at).collect();
        times.sort_unstable();
        let mut bursts: Vec<(Duration, Duration, usize)> = Vec::new();
        for at in times {
            match bursts.last_mut() {
                Some((_, end, count)) if at.saturating_sub(*end) < Duration::from_secs(1) => {
                    (*end, *count) = (at, *count + 1)
                }
                _ => bursts.push((at, at, 1)),
            }
        }
        bursts
    }

    /// The failures, counted by what they were.
    pub fn kinds(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for miss in &self.misses {
            *kinds.entry(format!("{}: {}", miss.app, miss.what)).or_default() += 1;
        }
        kinds
    }
}

/// Visitors under way.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    /// All visitors; they end with this.
    task: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    router: String,
    began: Instant,
    visits: Visits,
    stop: AtomicBool,
    sent: AtomicU64,
    again: AtomicU64,
    tunnels_closed: AtomicU64,
    slowest_us: AtomicU64,
    misses: Mutex<Vec<Miss>>,
    idle: Mutex<BTreeMap<String, Vec<Kept>>>,
}

type Kept = SendRequest<Empty<Bytes>>;

impl Load {
    /// Begins to visit these apps behind the router.
    pub fn start(router: String, apps: Vec<String>, visits: Visits, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            router,
            began: Instant::now(),
            visits,
            stop: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            again: AtomicU64::new(0),
            tunnels_closed: AtomicU64::new(0),
            slowest_us: AtomicU64::new(0),
            misses: Mutex::default(),
            idle: Mutex::default(),
        });
        let mut task = JoinSet::new();
        task.spawn(shared.clone().run(apps, Chance::for_trial(seed, "load", 0)));
        Self { shared, task }
    }

    /// How many requests failed so far.
    pub fn failed(&self) -> usize {
        self.shared.misses.lock().unwrap().len()
    }

    /// How long visitors have come.
    pub fn elapsed(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// How many requests were sent so far.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Ends the visits; requests under way are waited for.
    ///
    /// # Panics
    /// When the visitors did.
    pub async fn stop(mut self) -> Traffic {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(over) = self.task.join_next().await {
            over.expect("visitors do not panic");
        }
        let shared = &self.shared;
        Traffic {
            sent: shared.sent.load(Ordering::Relaxed),
            again: shared.again.load(Ordering::Relaxed),
            tunnels_closed: shared.tunnels_closed.load(Ordering::Relaxed),
            misses: shared.misses.lock().unwrap().clone(),
            slowest: Duration::from_micros(shared.slowest_us.load(Ordering::Relaxed)),
        }
    }
}

impl Shared {
    async fn run(self: Arc<Self>, apps: Vec<String>, mut chance: Chance) {
        let mut under_way = JoinSet::new();
        let mut tunnels = JoinSet::new();
        for app in apps.iter().flat_map(|app| (0..self.visits.tunnels).map(move |_| app)) {
            tunnels.spawn(self.clone().tunnel(app.clone()));
        }
        let mut clock = tokio::time::interval(Duration::from_secs(1) / self.visits.rate.max(1));
        // What was late is caught up with: the rate holds whatever else the machine does.
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while !self.stop.load(Ordering::Relaxed) {
            clock.tick().await;
            while under_way.try_join_next().is_some() {}
            let app = chance.one_of(&apps).clone();
            let path = if chance.percent(self.visits.slow_percent) {
                "/?wait_ms=2000"
            } else {
                "/"
            };
            let fresh = chance.percent(self.visits.fresh_percent);
            under_way.spawn(self.clone().visit(app, path, fresh));
        }
        while under_way.join_next().await.is_some() {}
        tunnels.abort_all();
    }

    async fn visit(self: Arc<Self>, app: String, path: &'static str, fresh: bool) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let start = Instant::now();
        let outcome = timeout(PATIENCE, self.ask(&app, path, fresh)).await;
        let took = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.slowest_us.fetch_max(took, Ordering::Relaxed);
        let what = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(what)) => what,
            Err(_) => format!("no answer within {PATIENCE:?}"),
        };
        self.miss(app, what);
    }

    fn miss(&self, app: String, what: String) {
        let at = self.began.elapsed();
        self.misses.lock().unwrap().push(Miss { at, app, what });
    }

    async fn ask(&self, app: &str, path: &str, fresh: bool) -> Result<(), String> {
        let kept = if fresh { None } else { self.kept(app) };
        if let Some(mut kept) = kept {
            match self.send(&mut kept, app, path).await {
                Ok(()) => return self.keep(app, kept),
                Err(Fault::Unheard(_)) => drop(self.again.fetch_add(1, Ordering::Relaxed)),
                Err(Fault::Wrong(what)) => return Err(what),
            }
        }
        let mut connection = self.connect().await?;
        match self.send(&mut connection, app, path).await {
            Ok(()) if fresh => Ok(()),
            Ok(()) => self.keep(app, connection),
            Err(Fault::Unheard(what) | Fault::Wrong(what)) => Err(what),
        }
    }

    fn kept(&self, app: &str) -> Option<Kept> {
        let mut idle = self.idle.lock().unwrap();
        let connections = idle.get_mut(app)?;
        while let Some(connection) = connections.pop() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, app: &str, connection: Kept) -> Result<(), String> {
        let mut idle = self.idle.lock().unwrap();
        idle.entry(app.to_owned()).or_default().push(connection);
        Ok(())
    }

    async fn connect(&self) -> Result<Kept, String> {
        let stream = TcpStream::connect(&self.router)
            .await
            .map_err(|error| format!("connect: {error}"))?;
        let _ = stream.set_nodelay(true);
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| chain(&error))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn send(&self, connection: &mut Kept, app: &str, path: &str) -> Result<(), Fault> {
        let unheard = |error: hyper::Error| Fault::Unheard(chain(&error));
        connection.ready().await.map_err(unheard)?;
        let request = Request::get(path)
            .header("host", format!("{app}.localhost"))
            .body(Empty::new())
            .map_err(|error| Fault::Wrong(error.to_string()))?;
        let answer = connection.send_request(request).await.map_err(unheard)?;
        let status = answer.status();
        let body = answer.into_body().collect().await;
        let body = body
            .map_err(|error| Fault::Wrong(format!("body: {}", chain(&error))))?
            .to_bytes();
        if !status.is_success() {
            return Err(Fault::Wrong(format!("status {}", status.as_u16())));
        }
        let own = body
            .strip_prefix(app.as_bytes())
            .is_some_and(|rest| rest.starts_with(b" "));
        if own {
            Ok(())
        } else {
            Err(Fault::Wrong("the answer of another app".to_owned()))
        }
    }

    /// Holds a tunnel and says something through it now and then.
    async fn tunnel(self: Arc<Self>, app: String) {
        while !self.stop.load(Ordering::Relaxed) {
            let held = self.hold_tunnel(&app).await;
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            match held {
                Ok(()) => drop(self.tunnels_closed.fetch_add(1, Ordering::Relaxed)),
                Err(what) => self.miss(app.clone(), format!("tunnel: {what}")),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns when the tunnel is closed in order.
    async fn hold_tunnel(&self, app: &str) -> Result<(), String> {
        let mut stream = TcpStream::connect(&self.router)
            .await
            .map_err(|error| format!("connect: {error}"))?;
        let request = format!(
            "GET /tunnel HTTP/1.1\r\nHost: {app}.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream
            .write_all(request.as_bytes())
            .await
            .map_err(|error| error.to_string())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = timeout(PATIENCE, stream.read_u8())
                .await
                .map_err(|_| "no answer".to_owned())?;
            head.push(byte.map_err(|error| error.to_string())?);
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(String::from_utf8_lossy(&head)
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned());
        }
        let mut echo = [0; 4];
        loop {
            let said = async {
                stream.write_all(b"ping").await?;
                stream.read_exact(&mut echo).await.map(drop)
            };
            match timeout(PATIENCE, said).await {
                Ok(Ok(())) => tokio::time::sleep(Duration::from_millis(200)).await,
                // A release that goes away closes its tunnels when its drain time is over.
                Ok(Err(_)) => return Ok(()),
                Err(_) => return Err("no echo".to_owned()),
            }
        }
    }
}

enum Fault {
    /// Not a byte of an answer came.
    Unheard(String),
    /// An answer came, and it was wrong or broke off.
    Wrong(String),
}

fn chain(error: &hyper::Error) -> String {
    use std::error::Error as _;
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_that_are_near_each_other_make_a_burst() {
        let miss = |ms| Miss {
            at: Duration::from_millis(ms),
            app: "shop".to_owned(),
            what: "status 502".to_owned(),
        };
        let traffic = Traffic {
            misses: vec![miss(5000), miss(100), miss(900)],
            ..Traffic::default()
        };
        let ms = Duration::from_millis;
        assert_eq!(traffic.bursts(), [(ms(100), ms(900), 2), (ms(5000), ms(5000), 1)]);
    }
}
