//! The engine's side of the control socket.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time,
};
use windlass_domain::RouteTable;

use super::{
    Ack, RouterStatus,
    protocol::{Answer, MAX_MESSAGE_BYTES, Request},
};

const DEADLINE: Duration = Duration::from_secs(5);

/// Talks to a running router. Each call opens its own connection, so a restarted router needs no reconnecting.
#[derive(Debug, Clone)]
pub struct ControlClient {
    path: PathBuf,
    deadline: Duration,
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens on the socket: the router is not running.
    #[error("the router does not answer on its control socket")]
    Unreachable(#[source] io::Error),
    /// The connection broke before the answer came. For `apply`: the table may be live or not; apply it again.
    #[error("the connection to the router broke")]
    Broken(#[source] io::Error),
    /// The router took longer than the deadline.
    #[error("the router did not answer within {0:?}")]
    Timeout(Duration),
    /// The router has a newer table already.
    #[error("the router has generation {live} already, newer than {given}")]
    Stale {
        /// The generation of the refused table.
        given: u64,
        /// The generation that is live.
        live: u64,
    },
    /// The table cannot be served as it is.
    #[error("the router refuses the table: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
    /// The router does not understand us, or we do not understand it: it is of another release.
    #[error("the router and this engine do not understand each other: {reason}")]
    Protocol {
        /// What was not understood.
        reason: String,
    },
}

impl ControlClient {
    /// A client for the router with its control socket at `path`; each call may take 5 s.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            deadline: DEADLINE,
        }
    }

    /// The same with another deadline per call.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Makes a table live. Idempotent: a table of the live generation is acknowledged and ignored.
    pub async fn apply(&self, table: RouteTable) -> Result<Ack, ControlError> {
        match self.call(Request::Apply { table }).await? {
            Answer::Applied(ack) => Ok(ack),
            other => Err(unexpected(other)),
        }
    }

    /// Asks what the router is doing.
    pub async fn status(&self) -> Result<RouterStatus, ControlError> {
        match self.call(Request::Status).await? {
            Answer::Status(status) => Ok(status),
            other => Err(unexpected(other)),
        }
    }

    /// Asks the router to drain and end. Returns when it has begun to.
    pub async fn shutdown(&self) -> Result<(), ControlError> {
        match self.call(Request::Shutdown).await? {
            Answer::Stopping => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    async fn call(&self, request: Request) -> Result<Answer, ControlError> {
        time::timeout(self.deadline, self.exchange(request))
            .await
            .map_err(|_| ControlError::Timeout(self.deadline))?
    }

    async fn exchange(&self, request: Request) -> Result<Answer, ControlError> {
        let mut line = serde_json::to_vec(&request).map_err(|error| ControlError::Protocol {
            reason: error.to_string(),
        })?;
        line.push(b'\n');
        let mut stream = UnixStream::connect(&self.path)
            .await
            .map_err(ControlError::Unreachable)?;
        stream.write_all(&line).await.map_err(ControlError::Broken)?;
        let mut answer = String::new();
        let mut reader = BufReader::new(stream).take(MAX_MESSAGE_BYTES);
        reader.read_line(&mut answer).await.map_err(ControlError::Broken)?;
        if answer.is_empty() {
            return Err(ControlError::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_str(&answer).map_err(|error| ControlError::Protocol {
            reason: error.to_string(),
        })
    }
}

fn unexpected(answer: Answer) -> ControlError {
    match answer {
        Answer::Stale { given, live } => ControlError::Stale { given, live },
        Answer::Invalid { reason } => ControlError::Invalid { reason },
        Answer::Malformed { reason } => ControlError::Protocol { reason },
        other => ControlError::Protocol {
            reason: format!("unexpected answer {other:?}"),
        },
    }
}
