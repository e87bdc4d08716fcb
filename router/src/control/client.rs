//! The engine's side of the control socket.

use std::{
    fs,
    future::Future,
    io,
    net::TcpListener,
    os::unix::fs::FileTypeExt,
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
    Ack, RouterStatus, Vigil, descriptors,
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

impl ControlError {
    /// Whether this says that there is no such router, or no longer.
    pub fn says_gone(&self) -> bool {
        let (Self::Unreachable(error) | Self::Broken(error)) = self else {
            return false;
        };
        matches!(
            error.kind(),
            io::ErrorKind::NotFound
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
        )
    }
}

impl ControlClient {
    /// A client for the router with its control socket at `path`; each call may take 5 s.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            deadline: DEADLINE,
        }
    }

    /// Where the router's control socket is.
    pub fn path(&self) -> &Path {
        &self.path
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

    /// The table that is live, as it was applied.
    pub async fn table(&self) -> Result<RouteTable, ControlError> {
        match self.call(Request::Table).await? {
            Answer::Table { table } => Ok(table),
            other => Err(unexpected(other)),
        }
    }

    /// Asks whoever watches this router (see [`Self::watch`]) to start another one in its place; false if nobody does.
    pub async fn replace(&self) -> Result<bool, ControlError> {
        match self.call(Request::Replace).await? {
            Answer::Replacing => Ok(true),
            Answer::Unwatched => Ok(false),
            other => Err(unexpected(other)),
        }
    }

    /// Duplicates of the sockets that the router listens on; none once it closes. As long as somebody holds one, connections wait
    /// in its queue, whatever becomes of the router.
    pub async fn listeners(&self) -> Result<Vec<TcpListener>, ControlError> {
        self.within_deadline(async {
            let stream = self.ask(&Request::Listeners).await?;
            let (line, descriptors) = descriptors::receive(&stream).await.map_err(ControlError::Broken)?;
            match read(&line)? {
                Answer::Listeners { .. } => Ok(descriptors.into_iter().filter_map(descriptors::as_listener).collect()),
                other => Err(unexpected(other)),
            }
        })
        .await
    }

    /// Watches over the router from now on.
    pub async fn watch(&self) -> Result<Vigil, ControlError> {
        self.within_deadline(async {
            let mut stream = BufReader::new(self.ask(&Request::Watch).await?);
            match answer(&mut stream).await? {
                Answer::Watching => Ok(Vigil::new(stream)),
                other => Err(unexpected(other)),
            }
        })
        .await
    }

    /// The process that listens on the control socket, as the kernel knows it: also of a router that answers nothing. None if it is
    /// of another PID namespace. Whoever may write to the folder may have put another process's socket there.
    pub async fn process(&self) -> Result<Option<u32>, ControlError> {
        self.within_deadline(async {
            let peer = self.connect().await?.peer_cred();
            let pid = peer.map_err(ControlError::Unreachable)?.pid();
            Ok(pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0))
        })
        .await
    }

    async fn call(&self, request: Request) -> Result<Answer, ControlError> {
        self.within_deadline(async {
            let stream = self.ask(&request).await?;
            answer(&mut BufReader::new(stream)).await
        })
        .await
    }

    async fn within_deadline<T>(&self, call: impl Future<Output = Result<T, ControlError>>) -> Result<T, ControlError> {
        time::timeout(self.deadline, call)
            .await
            .map_err(|_| ControlError::Timeout(self.deadline))?
    }

    /// The folder is the unprivileged router's own: a symbolic link there could name the socket of anybody.
    async fn connect(&self) -> Result<UnixStream, ControlError> {
        let connected = async {
            if fs::symlink_metadata(&self.path)?.file_type().is_socket() {
                UnixStream::connect(&self.path).await
            } else {
                Err(io::ErrorKind::ConnectionRefused.into())
            }
        };
        connected.await.map_err(ControlError::Unreachable)
    }

    /// Opens a connection and sends the request.
    async fn ask(&self, request: &Request) -> Result<UnixStream, ControlError> {
        let mut line = serde_json::to_vec(request).map_err(not_understood)?;
        line.push(b'\n');
        let mut stream = self.connect().await?;
        stream.write_all(&line).await.map_err(ControlError::Broken)?;
        Ok(stream)
    }
}

async fn answer(stream: &mut BufReader<UnixStream>) -> Result<Answer, ControlError> {
    let mut line = Vec::new();
    let mut bounded = stream.take(MAX_MESSAGE_BYTES);
    bounded
        .read_until(b'\n', &mut line)
        .await
        .map_err(ControlError::Broken)?;
    read(&line)
}

fn read(line: &[u8]) -> Result<Answer, ControlError> {
    if line.is_empty() {
        return Err(ControlError::Broken(io::ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_slice(line).map_err(not_understood)
}

fn not_understood(error: serde_json::Error) -> ControlError {
    ControlError::Protocol {
        reason: error.to_string(),
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

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener};

    use super::*;

    #[tokio::test]
    async fn a_link_to_the_socket_of_somebody_else_is_no_router() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, link) = (folder.path().join("else.sock"), folder.path().join("control.sock"));
        let other = UnixListener::bind(&socket).unwrap();
        other.set_nonblocking(true).unwrap();
        symlink(&socket, &link).unwrap();
        let client = ControlClient::new(&link);
        assert!(client.process().await.unwrap_err().says_gone());
        assert!(client.shutdown().await.unwrap_err().says_gone());
        assert!(other.accept().is_err(), "nobody has connected");
        let process = ControlClient::new(&socket).process().await.unwrap();
        assert_eq!(process, Some(std::process::id()));
    }
}
