//! The router's side of the control socket.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    time,
};

use super::{
    Ack, Ejected, RouterStatus,
    protocol::{Answer, MAX_MESSAGE_BYTES, Request},
};
use crate::{
    ControlSocket, RouterError,
    state::{ApplyError, Shared},
};

/// A bound control socket; its file is removed with it if it was made here.
pub(crate) struct Bound {
    listener: UnixListener,
    made: Option<PathBuf>,
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Some(path) = &self.made {
            // The file may be gone already, with its folder.
            let _ = fs::remove_file(path);
        }
    }
}

/// Opens the control socket. A file that a killed router left behind is replaced.
pub(crate) async fn bind(socket: ControlSocket) -> Result<Bound, RouterError> {
    match socket {
        ControlSocket::Bound(listener) => {
            listener.set_nonblocking(true).map_err(RouterError::Control)?;
            let listener = UnixListener::from_std(listener).map_err(RouterError::Control)?;
            Ok(Bound { listener, made: None })
        }
        ControlSocket::Path(path) => {
            if is_socket(&path) {
                if UnixStream::connect(&path).await.is_ok() {
                    return Err(RouterError::AlreadyRunning);
                }
                fs::remove_file(&path).map_err(RouterError::Control)?;
            }
            let listener = UnixListener::bind(&path).map_err(RouterError::Control)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(RouterError::Control)?;
            Ok(Bound {
                listener,
                made: Some(path),
            })
        }
    }
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

/// Serves the control socket until the router has drained.
pub(crate) async fn serve(bound: Bound, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            () = shared.abort.cancelled() => return,
            accepted = bound.listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => drop(tokio::spawn(converse(stream, Arc::clone(&shared)))),
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the control socket; trying again in 50 ms");
                time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, shared: Arc<Shared>) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let answered = tokio::select! {
            () = shared.abort.cancelled() => return,
            answered = answer_one(&mut read, &mut write, &shared) => answered,
        };
        match answered {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return tracing::debug!(%error, "a control connection broke"),
        }
    }
}

/// Reads a request and answers it; false at the end of the connection.
async fn answer_one(
    read: &mut (impl AsyncBufReadExt + Unpin),
    write: &mut (impl AsyncWriteExt + Unpin),
    shared: &Arc<Shared>,
) -> io::Result<bool> {
    let mut line = Vec::new();
    let n = read.take(MAX_MESSAGE_BYTES).read_until(b'\n', &mut line).await?;
    if n == 0 {
        return Ok(false);
    }
    let request = serde_json::from_slice(&line);
    let stop = matches!(request, Ok(Request::Shutdown));
    let answer = match request {
        Ok(request) => answer(request, shared).await,
        Err(error) => Answer::Malformed {
            reason: error.to_string(),
        },
    };
    let mut bytes = serde_json::to_vec(&answer)?;
    bytes.push(b'\n');
    write.write_all(&bytes).await?;
    if stop {
        shared.closing.cancel();
    }
    Ok(line.ends_with(b"\n"))
}

async fn answer(request: Request, shared: &Arc<Shared>) -> Answer {
    match request {
        Request::Apply { table } => match shared.apply(table).await {
            Ok((generation, persisted)) => Answer::Applied(Ack { generation, persisted }),
            Err(ApplyError::Stale { given, live }) => Answer::Stale { given, live },
            Err(ApplyError::Invalid(error)) => Answer::Invalid {
                reason: error.to_string(),
            },
        },
        Request::Status => Answer::Status(status(shared)),
        Request::Shutdown => Answer::Stopping,
    }
}

fn status(shared: &Shared) -> RouterStatus {
    let ejected = shared.ejected().into_iter();
    RouterStatus {
        generation: shared.table.load().generation,
        in_flight: shared.in_flight(),
        requests_total: shared.requests_total(),
        connections: shared.caps.open() as u64,
        ejected: ejected
            .map(|(instance, address)| Ejected { instance, address })
            .collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
    }
}
