//! What the router says: the table on its disk, and its status over its control socket.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpStream, UnixStream},
};

use super::plain;

/// The router's table and status.
#[derive(Debug, Clone, Default)]
pub struct Router {
    /// The generation that it serves.
    pub generation: u64,
    /// The generation on disk.
    pub on_disk: u64,
    /// The instances that each app's requests go to.
    pub upstreams: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Deserialize)]
struct Table {
    generation: u64,
    routes: Vec<Route>,
}

#[derive(Deserialize)]
struct Route {
    app: String,
    upstreams: Vec<Upstream>,
}

#[derive(Deserialize)]
struct Upstream {
    instance: String,
}

#[derive(Deserialize)]
struct Status {
    generation: u64,
    pid: u32,
}

const DEADLINE: Duration = Duration::from_secs(3);

impl Router {
    /// Asks the router of a data directory.
    ///
    /// # Errors
    /// When it does not answer, or has no table.
    pub async fn ask(data_dir: &Path) -> anyhow::Result<Self> {
        let status = status(data_dir).await?;
        let text = std::fs::read(data_dir.join("router/table.json")).context("the router has no table")?;
        let table: Table = serde_json::from_slice(&text)?;
        let mut upstreams: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for route in table.routes {
            let instances = route.upstreams.iter().map(|upstream| plain(&upstream.instance));
            upstreams.entry(route.app).or_default().extend(instances);
        }
        Ok(Self {
            generation: status.generation,
            on_disk: table.generation,
            upstreams,
        })
    }
}

/// The process id of the router of a data directory.
///
/// # Errors
/// When it does not answer.
pub async fn router_pid(data_dir: &Path) -> anyhow::Result<u32> {
    Ok(status(data_dir).await?.pid)
}

async fn status(data_dir: &Path) -> anyhow::Result<Status> {
    let asked = async {
        let mut stream = UnixStream::connect(data_dir.join("router/control.sock")).await?;
        stream.write_all(b"{\"op\":\"status\"}\n").await?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await?;
        anyhow::Ok(serde_json::from_str(&line)?)
    };
    tokio::time::timeout(DEADLINE, asked)
        .await
        .context("the router does not answer")?
}

/// Asks for `/` of a host every few milliseconds on new connections until an answer with 200 has come; gives how long that took.
///
/// # Errors
/// When none comes within `patience`.
pub async fn gap_probe(router: &str, host: &str, patience: Duration) -> anyhow::Result<Duration> {
    let start = Instant::now();
    until_heard(router, host, "", patience).await?;
    Ok(start.elapsed())
}

/// Asks for `/` of a host every few milliseconds on new connections until an answer with 200 begins with these words.
///
/// # Errors
/// When none comes within `patience`.
pub async fn until_heard(router: &str, host: &str, words: &str, patience: Duration) -> anyhow::Result<()> {
    let start = Instant::now();
    while start.elapsed() < patience {
        let once = tokio::time::timeout(Duration::from_millis(500), says(router, host)).await;
        let said = once.ok().and_then(Result::ok).flatten();
        if said.is_some_and(|body| body.starts_with(words)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    anyhow::bail!("{host} did not say {words:?} within {patience:?}")
}

/// The body of an answer with 200.
async fn says(router: &str, host: &str) -> std::io::Result<Option<String>> {
    let mut stream = TcpStream::connect(router).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let body = answer
        .split_once("\r\n\r\n")
        .filter(|_| answer.starts_with("HTTP/1.1 200"));
    Ok(body.map(|(_, body)| body.to_owned()))
}
