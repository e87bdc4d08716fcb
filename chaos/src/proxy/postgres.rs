//! A proxy for Postgres that knows where commits are.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinHandle,
};

use super::{
    Line, process_of,
    statement::Session,
    wire::{self, Message, Prepared},
};
use crate::point::{Hit, Points, Side};

/// The port that is part of a socket's name.
const PORT: u16 = 5432;

/// How the proxy behaves from now on.
#[derive(Debug, Clone, Copy, Default)]
struct Mode {
    line: Line,
    swallow_notifications: bool,
    /// Connections of an older epoch are cut.
    epoch: u64,
}

/// A running proxy. Dropping it ends it and all its connections.
#[derive(Debug)]
pub struct PostgresProxy {
    directory: TempDir,
    mode: watch::Sender<Mode>,
    accepting: JoinHandle<()>,
}

impl PostgresProxy {
    /// Stands before the server whose socket is in this directory.
    ///
    /// # Errors
    /// When its own socket cannot be made.
    pub fn start(server: &Path, points: Arc<Points>) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("chaos-pg-").tempdir_in("/tmp")?;
        let listener = UnixListener::bind(directory.path().join(format!(".s.PGSQL.{PORT}")))?;
        let server = server.join(format!(".s.PGSQL.{PORT}"));
        let mode = watch::Sender::new(Mode::default());
        let modes = mode.subscribe();
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let (server, points, modes) = (server.clone(), points.clone(), modes.clone());
                connections.spawn(async move { serve(client, &server, points, modes).await });
            }
        });
        Ok(Self {
            directory,
            mode,
            accepting,
        })
    }

    /// The address for the engine, for a server whose own address is `direct`.
    pub fn url(&self, direct: &str) -> String {
        let (before, after) = direct.split_once("host=").unwrap_or((direct, ""));
        let rest = after.split_once('&').map_or("", |(_, rest)| rest);
        format!("{before}host={}&{rest}", self.directory.path().display())
    }

    /// Changes the state of the line.
    pub fn set_line(&self, line: Line) {
        self.mode.send_modify(|mode| {
            mode.line = line;
            if line == Line::Down {
                mode.epoch += 1;
            }
        });
    }

    /// Cuts all connections; new ones are taken.
    pub fn cut(&self) {
        self.mode.send_modify(|mode| mode.epoch += 1);
    }

    /// Loses notifications from now on, or no more.
    pub fn swallow_notifications(&self, swallow: bool) {
        self.mode.send_modify(|mode| mode.swallow_notifications = swallow);
    }
}

impl Drop for PostgresProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What both directions of a connection know.
struct Shared {
    points: Arc<Points>,
    modes: watch::Receiver<Mode>,
    /// The process that is connected.
    by: u32,
    /// One entry for each answer that the server owes, with the trap that springs when it has come.
    owed: Mutex<VecDeque<Option<Hit>>>,
}

impl Shared {
    fn owed(&self) -> std::sync::MutexGuard<'_, VecDeque<Option<Hit>>> {
        self.owed.lock().expect("nobody panics while holding it")
    }

    /// Returns when a message may pass.
    async fn pass(&self) {
        let mut modes = self.modes.clone();
        let Ok(mode) = modes.wait_for(|mode| mode.line != Line::Silent).await.map(|mode| *mode) else {
            return;
        };
        if let Line::Slow(by) = mode.line {
            tokio::time::sleep(by).await;
        }
    }
}

async fn serve(client: UnixStream, server: &Path, points: Arc<Points>, modes: watch::Receiver<Mode>) {
    let began = *modes.borrow();
    if began.line == Line::Down {
        return;
    }
    let mut cut = modes.clone();
    let shared = Shared {
        points,
        modes,
        by: process_of(&client),
        owed: Mutex::default(),
    };
    let relayed = async {
        shared.pass().await;
        let server = UnixStream::connect(server).await?;
        relay(&shared, client, server).await
    };
    tokio::select! {
        _ = relayed => {}
        _ = cut.wait_for(|mode| mode.epoch != began.epoch) => {}
    }
}

async fn relay(shared: &Shared, client: UnixStream, server: UnixStream) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut first = wire::read_first(&mut from_client).await?;
    if wire::asks_for_tls(&first) {
        to_client.write_all(b"N").await?;
        first = wire::read_first(&mut from_client).await?;
    }
    to_server.write_all(&first).await?;
    tokio::select! {
        end = requests(shared, &mut from_client, &mut to_server) => end,
        end = answers(shared, &mut from_server, &mut to_client) => end,
    }
}

/// Forwards what the client asks, batch by batch; a batch ends with what the server answers by `ReadyForQuery`.
async fn requests(
    shared: &Shared,
    client: &mut (impl AsyncRead + Unpin),
    server: &mut (impl AsyncWrite + Unpin),
) -> std::io::Result<()> {
    let (mut prepared, mut session) = (Prepared::default(), Session::default());
    let (mut batch, mut commit) = (Vec::new(), None);
    while let Some(message) = wire::read(client).await? {
        if let Some(sql) = prepared.take(&message) {
            commit = session.run(&sql).or(commit);
        }
        let ends = matches!(message.tag, b'S' | b'Q');
        let waits = matches!(message.tag, b'P' | b'B' | b'D' | b'E' | b'C');
        batch.extend(message.bytes);
        if waits {
            continue;
        }
        shared.pass().await;
        if ends {
            let hit = commit
                .take()
                .and_then(|what: String| shared.points.reach(&what, shared.by));
            if let Some(hit) = hit.filter(|hit| hit.side == Side::Before) {
                shared.points.spring(hit).await;
                if hit.action != crate::point::Action::Stop {
                    return Ok(());
                }
            }
            shared.owed().push_back(hit.filter(|hit| hit.side == Side::After));
        }
        server.write_all(&batch).await?;
        batch.clear();
    }
    Ok(())
}

/// Forwards what the server answers; the answer to a commit with a trap behind it is never heard.
async fn answers(
    shared: &Shared,
    server: &mut (impl AsyncRead + Unpin),
    client: &mut (impl AsyncWrite + Unpin),
) -> std::io::Result<()> {
    let mut kept = Vec::new();
    while let Some(message) = wire::read(server).await? {
        shared.pass().await;
        let Message { tag, bytes } = message;
        if tag == b'A' && shared.modes.borrow().swallow_notifications {
            continue;
        }
        kept.extend(bytes);
        let trapped = shared.owed().front().copied().flatten();
        if tag == b'Z' {
            shared.owed().pop_front();
        }
        if let Some(hit) = trapped {
            if tag != b'Z' {
                continue;
            }
            shared.points.spring(hit).await;
            if hit.action != crate::point::Action::Stop {
                return Ok(());
            }
        }
        client.write_all(&kept).await?;
        kept.clear();
    }
    Ok(())
}
