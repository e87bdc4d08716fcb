//! What stands between the engine and its servers: it forwards, and at a crash point it does not.

pub mod docker;
pub mod postgres;
mod statement;
mod wire;

use std::time::Duration;

use tokio::net::UnixStream;

/// The process at the other end of a connection; 0 when that cannot be known.
fn process_of(client: &UnixStream) -> u32 {
    let pid = client.peer_cred().ok().and_then(|peer| peer.pid());
    pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default()
}

/// The state of a line between the engine and a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Line {
    /// Everything passes.
    #[default]
    Up,
    /// Connections break and new ones are closed at once.
    Down,
    /// Nothing passes and nobody is told: a cable that was pulled.
    Silent,
    /// Everything passes this much later.
    Slow(Duration),
}
