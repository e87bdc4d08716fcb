//! The Unix socket where git's hook asks.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::{UnixListener, UnixStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    ApiState,
    push::{session, wire::Hello},
};

/// A push of some ten thousand refs fits.
const MAX_HELLO_BYTES: u64 = 8 << 20;
const HELLO_PATIENCE: Duration = Duration::from_secs(10);

/// How long sessions may take to say good-bye when the server stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Listens at `path`, for this user alone. A socket that a killed process left there is replaced.
///
/// # Errors
/// When the path cannot be listened at.
pub fn bind_hook(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers git's hook until `shutdown`. Then the pushes that wait for their deployment are told that it goes on.
///
/// # Errors
/// None at present: what goes wrong with one hook is its own.
pub async fn serve_hook(listener: UnixListener, state: ApiState, shutdown: CancellationToken) -> io::Result<()> {
    let sessions = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let state = state.clone();
                sessions.spawn(async move {
                    if let Err(error) = serve_one(stream, &state).await {
                        tracing::debug!(%error, "a push went away; its deployment goes on");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a hook cannot be accepted");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    sessions.close();
    let _ = timeout(DRAIN, sessions.wait()).await;
    Ok(())
}

async fn serve_one(mut stream: UnixStream, state: &ApiState) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut line = Vec::new();
    let mut reader = BufReader::new(read).take(MAX_HELLO_BYTES);
    timeout(HELLO_PATIENCE, reader.read_until(b'\n', &mut line)).await??;
    let hello: Hello = serde_json::from_slice(&line)?;
    session::answer(state, hello, &mut write).await
}
