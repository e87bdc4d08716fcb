//! A watch over a router: its end is noticed at once, whether it was told to end or was killed, and whoever started it.

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::UnixStream,
};

use super::protocol::Answer;

/// What happened to a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Somebody wants another router in its place. It goes on serving.
    Replace,
    /// It was told to end: it takes no new connections.
    Stopping,
    /// It is gone.
    Gone,
}

/// A connection that the router says such things on; the kernel closes it when the process ends, however it does.
#[derive(Debug)]
pub struct Vigil {
    lines: Lines<BufReader<UnixStream>>,
}

impl Vigil {
    pub(super) fn new(stream: BufReader<UnixStream>) -> Self {
        Self { lines: stream.lines() }
    }

    /// Waits for the next sign. May be dropped and called again without losing one.
    pub async fn next(&mut self) -> Sign {
        loop {
            let Ok(Some(line)) = self.lines.next_line().await else {
                return Sign::Gone;
            };
            match serde_json::from_str(&line) {
                Ok(Answer::Replacing) => return Sign::Replace,
                Ok(Answer::Stopping) => return Sign::Stopping,
                other => tracing::debug!(?other, "the router said what nobody asked"),
            }
        }
    }
}
