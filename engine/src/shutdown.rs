//! The end of the process: in order at the first signal, at once at the second.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels the token at SIGTERM or SIGINT. A second signal, or a deadline that passes, ends the process at once.
pub fn on_signal(token: CancellationToken, deadline: Duration) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let name = tokio::select! { _ = terminate.recv() => "SIGTERM", _ = interrupt.recv() => "SIGINT" };
        tracing::info!(
            signal = name,
            deadline_seconds = deadline.as_secs(),
            "ending in order; a second signal ends at once"
        );
        token.cancel();
        tokio::select! {
            _ = terminate.recv() => tracing::warn!("second signal; ending at once"),
            _ = interrupt.recv() => tracing::warn!("second signal; ending at once"),
            () = tokio::time::sleep(deadline) => tracing::warn!("not ended in time; ending at once"),
        }
        std::process::exit(1);
    });
    Ok(())
}
