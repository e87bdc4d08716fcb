//! Starting the router's process.

use std::{
    net::TcpListener,
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use tokio::{process::Child, time::Instant};
use windlass_router::control::ControlClient;

use super::cannot_start;
use crate::{
    config::Config,
    ownership::{self, Account},
};

/// How long a new router may take until it answers.
const STARTING: Duration = Duration::from_secs(10);

/// Only root can become another user: then the router is `nobody`.
const UNPRIVILEGED: Account = Account {
    uid: 65_534,
    gid: 65_534,
};

/// The control socket that is this very router's, see [`windlass_router::ControlSocket::Successor`].
pub(super) fn own_socket_name(pid: u32) -> String {
    format!("{pid}.sock")
}

/// The client for the router with this process id.
pub(super) fn client_of(config: &Config, pid: u32) -> ControlClient {
    ControlClient::new(config.router_dir().join(own_socket_name(pid)))
}

/// Starts a router on this listener. Returns its process id when it answers, and so has its last table and accepts connections.
pub(super) async fn start(config: &Config, listener: TcpListener) -> anyhow::Result<u32> {
    let log = ownership::open_log(&config.router_log())?;
    let mut command = command(config, listener)?;
    command
        .stdout(log.try_clone()?)
        .stderr(log)
        // Signals at the engine's terminal are not for the router.
        .process_group(0);
    let mut child = tokio::process::Command::from(command)
        .spawn()
        .with_context(|| cannot_start(config))?;
    let pid = child.id().context("the router ended at once")?;
    until_it_answers(config, pid, &mut child).await?;
    tracing::info!(pid, listen = %config.router_http, "router started");
    // Reaped in the background: a child that nobody waits for stays in the list of processes.
    tokio::spawn(async move { child.wait().await });
    Ok(pid)
}

async fn until_it_answers(config: &Config, pid: u32, child: &mut Child) -> anyhow::Result<()> {
    let client = client_of(config, pid);
    let deadline = Instant::now() + STARTING;
    while client.status().await.is_err() {
        if let Some(status) = child.try_wait()? {
            bail!("the router ended with {status}; see {}", config.router_log().display());
        }
        if Instant::now() > deadline {
            // One that starts late would be a second router.
            child.kill().await?;
        }
        ensure!(
            Instant::now() < deadline,
            "the router does not answer on {}; see {}",
            client.path().display(),
            config.router_log().display()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// The router process, with its folder made ready. The listener travels as standard input, as with inetd.
pub(super) fn command(config: &Config, listener: TcpListener) -> anyhow::Result<Command> {
    let directory = config.router_dir();
    let user = rustix::process::geteuid().is_root().then_some(UNPRIVILEGED);
    ownership::own_folder(&directory, 0o700, user)?;
    // By this name the kernel finds our own program even where the unprivileged user may not look.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("windlassd")
        .arg("router-process")
        .env_clear()
        .env("WINDLASS_LOG", &config.log_level)
        .current_dir(&directory)
        .stdin(Stdio::from(OwnedFd::from(listener)));
    if let Some(user) = user {
        // What a router run by root left there. Control sockets that nobody answers on are replaced by the router itself.
        ownership::give_file(&directory.join("table.json"), user)?;
        command.uid(user.uid).gid(user.gid);
    }
    Ok(command)
}
