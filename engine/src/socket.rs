//! What systemd may do for the engine. The API's listening socket: the one that systemd hands over, or one of our own. systemd keeps its socket open while the engine
//! is replaced, so that whoever connects meanwhile waits instead of being refused.

use std::net::TcpListener;

use anyhow::{Context, bail, ensure};
use listenfd::ListenFd;
use rustix::net::sockopt;
use sd_notify::NotifyState;

use crate::config::Config;

/// What to look at when systemd hands over something else than a listening TCP socket.
const REMEDY: &str = "give the .socket unit one `ListenStream=` with a port, and no `Accept=yes`";

/// Tells systemd how far the engine is, if systemd started it.
pub fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(error = %error, "systemd was not told");
    }
}

/// The socket that systemd hands over, if it does. To be asked first of all: until then every process that is started, the router and
/// PostgreSQL among them, would get a copy, and keep the port when the engine has ended.
///
/// # Errors
/// What is handed over is not one listening TCP socket.
pub fn handed_over() -> anyhow::Result<Option<TcpListener>> {
    let (count, process) = (crate::environment("LISTEN_FDS"), crate::environment("LISTEN_PID"));
    if !is_for_us(process.as_deref()) {
        return Ok(None);
    }
    check_count(count.as_deref())?;
    let mut handed = ListenFd::from_env();
    ensure!(
        handed.len() <= 1,
        "systemd handed over {} sockets, and the API takes one; {REMEDY}",
        handed.len()
    );
    // It is not inherited from here on.
    let listener = handed
        .take_tcp_listener(0)
        .with_context(|| format!("systemd handed over something that is no TCP socket; {REMEDY}"))?;
    if let Some(listener) = &listener {
        ensure!(
            sockopt::socket_acceptconn(listener)?,
            "systemd handed over a socket that does not listen; {REMEDY}"
        );
    }
    Ok(listener)
}

/// Whether the process that descriptors were meant for is this one, as sd_listen_fds(3) wants it said: what came along from whoever
/// started this process may be anything.
fn is_for_us(process: Option<&str>) -> bool {
    process.and_then(|process| process.parse().ok()) == Some(std::process::id())
}

/// What is meant for this process must be understood.
fn check_count(count: Option<&str>) -> anyhow::Result<()> {
    match count {
        Some(count) if count.parse::<usize>().is_err() => {
            bail!("LISTEN_FDS is `{count}`, which is no number of sockets; unset it, or let systemd set it")
        }
        _ => Ok(()),
    }
}

/// The socket that the API accepts from: the one that was handed over, or one at the configured address.
pub async fn api(config: &Config, handed: Option<TcpListener>) -> anyhow::Result<tokio::net::TcpListener> {
    if let Some(listener) = handed {
        listener.set_nonblocking(true)?;
        tracing::info!(listen = ?listener.local_addr().ok(), "the API's socket was handed over");
        return Ok(tokio::net::TcpListener::from_std(listener)?);
    }
    tokio::net::TcpListener::bind(config.api_listen).await.with_context(|| {
        format!(
            "the API cannot listen on {}; free the port, or set api.listen to another address",
            config.api_listen
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_to_be_for_this_process_is_taken() {
        let ours = std::process::id().to_string();
        assert!(is_for_us(Some(&ours)));
        for process in [None, Some(""), Some("1"), Some("-1"), Some("ours")] {
            assert!(!is_for_us(process), "{process:?}");
        }
    }
}
