//! What systemd may do for the engine. The API's listening socket: the one that systemd hands over, or one of our own. systemd keeps its socket open while the engine
//! is replaced, so that whoever connects meanwhile waits instead of being refused.

use anyhow::Context;
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::net::TcpListener;

use crate::config::Config;

/// Tells systemd how far the engine is, if systemd started it.
pub fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(error = %error, "systemd was not told");
    }
}

/// The socket that the API accepts from.
pub async fn api(config: &Config) -> anyhow::Result<TcpListener> {
    let mut handed = ListenFd::from_env();
    let first = handed.take_tcp_listener(0);
    if let Some(listener) =
        first.context("systemd handed over something that is no TCP socket; check the .socket unit")?
    {
        listener.set_nonblocking(true)?;
        // git and PostgreSQL must not keep the port when this process has ended.
        rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::CLOEXEC)?;
        tracing::info!(listen = ?listener.local_addr().ok(), "the API's socket was handed over");
        return Ok(TcpListener::from_std(listener)?);
    }
    TcpListener::bind(config.api_listen).await.with_context(|| {
        format!(
            "the API cannot listen on {}; free the port, or set api.listen to another address",
            config.api_listen
        )
    })
}
