//! The router as a process of its own: unprivileged, without Docker's socket and without PostgreSQL. It outlives the engine, so
//! that killing or upgrading the engine disturbs no request.

use std::{
    fs,
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use tokio::{process::Child, time::Instant};
use tokio_util::sync::CancellationToken;
use windlass_router::{
    ControlSocket, Limits, RouterConfig,
    control::{ControlClient, ControlError, RouterStatus},
};

use crate::{
    config::{Config, LogFormat},
    logging,
    ownership::{self, Account},
};

/// How often the engine looks whether its router is alive.
const WATCH: Duration = Duration::from_millis(250);
/// How long a router that was asked to end may drain.
const DRAIN: Duration = Duration::from_secs(40);
/// How long a router that died may still hold the port.
const DYING: Duration = Duration::from_secs(5);
/// How long a new router may take until it answers.
const STARTING: Duration = Duration::from_secs(10);

/// Only root can become another user: then the router is `nobody`.
const UNPRIVILEGED: Account = Account {
    uid: 65_534,
    gid: 65_534,
};

/// Makes sure that a router of this version runs: adopts the one that does, or starts one.
pub async fn ensure(config: &Config) -> anyhow::Result<()> {
    let client = ControlClient::new(config.router_socket());
    match client.status().await {
        Ok(status) if status.version == env!("CARGO_PKG_VERSION") => {
            tracing::info!(pid = status.pid, generation = status.generation, "router runs already");
            Ok(())
        }
        Err(ControlError::Unreachable(_)) => start(config, &client, DYING).await,
        other => replace(config, &client, other).await,
    }
}

async fn replace(
    config: &Config,
    client: &ControlClient,
    old: Result<RouterStatus, ControlError>,
) -> anyhow::Result<()> {
    let version = old.map_or_else(|_| "unknown".to_owned(), |status| status.version);
    tracing::info!(version, "replacing a router of another version");
    client.shutdown().await.context("the old router does not end")?;
    start(config, client, DRAIN).await
}

/// Starts the router anew whenever it is gone, until shutdown. The router itself is left running.
pub async fn supervise(config: Config, shutdown: CancellationToken) {
    let client = ControlClient::new(config.router_socket());
    while !shutdown.is_cancelled() {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = revive(&config, &client) => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(WATCH) => {}
        }
    }
}

async fn revive(config: &Config, client: &ControlClient) {
    if client.status().await.is_err()
        && let Err(error) = start(config, client, DYING).await
    {
        tracing::error!(
            error = format!("{error:#}"),
            "the router cannot be started; trying again"
        );
    }
}

/// Starts a router; one that is just ending may hold its port and its control socket for `old_ends`.
///
/// The port is bound as soon as the old router lets go of it, though it may drain for long after that: clients that connect
/// meanwhile wait instead of being refused. Handing over the old router's very listener, so that not even its queue is lost,
/// is a later step.
async fn start(config: &Config, client: &ControlClient, old_ends: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + old_ends;
    let listener = bind(config, deadline).await?;
    until_gone(client, deadline).await?;
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
    until_it_answers(config, client, &mut child).await?;
    tracing::info!(pid = child.id(), listen = %config.router_http, "router started");
    // Reaped in the background; a child that nobody waits for would look alive.
    tokio::spawn(async move { child.wait().await });
    Ok(())
}

/// A router that drains goes on answering on its control socket until it has ended.
async fn until_gone(client: &ControlClient, deadline: Instant) -> anyhow::Result<()> {
    while matches!(client.status().await, Ok(_) | Err(ControlError::Protocol { .. })) {
        ensure!(Instant::now() < deadline, "the old router does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Waits for the answer of this very child.
async fn until_it_answers(config: &Config, client: &ControlClient, child: &mut Child) -> anyhow::Result<()> {
    let deadline = Instant::now() + STARTING;
    loop {
        if let Some(status) = child.try_wait()? {
            bail!("the router ended with {status}; see {}", config.router_log().display());
        }
        let answering = client.status().await.ok().map(|status| status.pid);
        if answering.is_some() && answering == child.id() {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "the router does not answer on {}; see {}",
            config.router_socket().display(),
            config.router_log().display()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Binds the router's address; a router that is just ending may hold it until the deadline.
async fn bind(config: &Config, deadline: Instant) -> anyhow::Result<TcpListener> {
    loop {
        match TcpListener::bind(config.router_http) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(error).with_context(|| cannot_listen(config)),
        }
    }
}

/// The router process, with its folder made ready. The listener travels as standard input, as with inetd.
fn command(config: &Config, listener: TcpListener) -> anyhow::Result<Command> {
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
        // What a router run by root left there. A control socket that nobody answers on is replaced by the router itself.
        ownership::give_file(&directory.join("table.json"), user)?;
        command.uid(user.uid).gid(user.gid);
    }
    Ok(command)
}

fn cannot_start(config: &Config) -> String {
    format!(
        "cannot start the router process in {}; every folder above it must let others pass (chmod o+x)",
        config.router_dir().display()
    )
}

fn cannot_listen(config: &Config) -> String {
    format!(
        "the router cannot listen on {}; free the port, or set router.http to another address",
        config.router_http
    )
}

/// The router instead of this process, for a machine that does nothing else: with the same user and the same folder.
pub fn serve_alone(config: &Config) -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind(config.router_http).with_context(|| cannot_listen(config))?;
    fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("cannot make the data directory {}", config.data_dir.display()))?;
    let format = if logging::is_text(config.log_format) {
        "text"
    } else {
        "json"
    };
    let error = command(config, listener)?.env("WINDLASS_LOG_FORMAT", format).exec();
    Err(error).with_context(|| cannot_start(config))
}

/// The router process itself: listens on its standard input, works in its current directory.
pub fn serve() -> anyhow::Result<ExitCode> {
    let level = crate::environment("WINDLASS_LOG").unwrap_or_else(|| "info".to_owned());
    let format = match crate::environment("WINDLASS_LOG_FORMAT").as_deref() {
        Some("text") => LogFormat::Text,
        _ => LogFormat::Json,
    };
    logging::install_as(&level, format)?;
    let listener = TcpListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    listener
        .local_addr()
        .context("this command is for the engine, which hands it a listener; use `windlassd run --roles router`")?;
    run(listener)
}

fn run(listener: TcpListener) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let config = RouterConfig {
        http: vec![listener],
        // Relative to the current directory: the folders above may be closed to the router's user.
        control: ControlSocket::Path(Path::new("control.sock").to_owned()),
        table_file: Path::new("table.json").to_owned(),
        workers: None,
        limits: Limits::default(),
    };
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        crate::shutdown::on_signal(shutdown.clone(), DRAIN)?;
        windlass_router::run(config, shutdown.cancelled_owned()).await?;
        anyhow::Ok(ExitCode::SUCCESS)
    })
}
