//! The router as a process of its own: unprivileged, without Docker's socket and without PostgreSQL. It outlives the engine, so
//! that killing or upgrading the engine disturbs no request.

use std::{
    fs,
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::chown,
    },
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{process::Command, time::Instant};
use tokio_util::sync::CancellationToken;
use windlass_router::{ControlSocket, Limits, RouterConfig, control::ControlClient};

use crate::config::Config;

/// How often the engine looks whether its router is alive.
const WATCH: Duration = Duration::from_millis(250);

/// Makes sure that a router of this version runs: adopts the one that does, or starts one.
pub async fn ensure(config: &Config) -> anyhow::Result<()> {
    let client = ControlClient::new(config.router_socket());
    if let Ok(status) = client.status().await {
        if status.version == env!("CARGO_PKG_VERSION") {
            tracing::info!(pid = status.pid, generation = status.generation, "router runs already");
            return Ok(());
        }
        tracing::info!(
            pid = status.pid,
            version = status.version,
            "replacing a router of another version"
        );
        client.shutdown().await.context("the old router does not end")?;
    }
    start(config, &client).await
}

/// Starts the router anew whenever it is gone, until shutdown. The router itself is left running.
pub async fn supervise(config: Config, shutdown: CancellationToken) {
    let client = ControlClient::new(config.router_socket());
    while !shutdown.is_cancelled() {
        if client.status().await.is_err()
            && let Err(error) = start(&config, &client).await
        {
            tracing::error!(
                error = format!("{error:#}"),
                "the router cannot be started; trying again"
            );
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(WATCH) => {}
        }
    }
}

async fn start(config: &Config, client: &ControlClient) -> anyhow::Result<()> {
    let listener = bind(config).await?;
    let directory = config.router_dir();
    fs::create_dir_all(&directory)?;
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(directory.join("router.log"))?;
    // By this name the kernel finds our own program even where the unprivileged user may not look.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg("router-process")
        .env_clear()
        .env("WINDLASS_LOG", &config.log_level)
        // It works with relative paths: the directories above may be closed to its user.
        .current_dir(&directory)
        // The bound listener travels as standard input, as with inetd.
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(log.try_clone()?)
        .stderr(log)
        // Signals at the engine's terminal are not for the router.
        .process_group(0);
    if let Some((uid, gid)) = unprivileged_user() {
        chown(&directory, Some(uid), Some(gid))?;
        for file in ["table.json", "router.log", "control.sock"] {
            let _ = chown(directory.join(file), Some(uid), Some(gid));
        }
        command.uid(uid).gid(gid);
    }
    let mut child = command.spawn().context("cannot start the router process")?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while client.status().await.is_err() {
        if let Some(status) = child.try_wait()? {
            bail!(
                "the router ended with {status}; see {}",
                directory.join("router.log").display()
            );
        }
        if Instant::now() > deadline {
            bail!("the router does not answer on {}", config.router_socket().display());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tracing::info!(pid = child.id(), listen = %config.router_http, "router started");
    // Reaped in the background; a child that nobody waits for would look alive.
    tokio::spawn(async move { child.wait().await });
    Ok(())
}

/// Binds the router's address; a router that is just ending may hold it for a moment.
async fn bind(config: &Config) -> anyhow::Result<TcpListener> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match TcpListener::bind(config.router_http) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => {
                return Err(error).with_context(|| {
                    format!(
                        "the router cannot listen on {}; free the port, or set router.http to another address",
                        config.router_http
                    )
                });
            }
        }
    }
}

/// Only root can become another user.
fn unprivileged_user() -> Option<(u32, u32)> {
    rustix::process::geteuid().is_root().then_some((65_534, 65_534))
}

/// The router process itself: listens on its standard input, works in its current directory.
pub fn serve() -> anyhow::Result<ExitCode> {
    let filter = crate::environment("WINDLASS_LOG").unwrap_or_else(|| "info".to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .json()
        .flatten_event(true)
        .with_writer(std::io::stderr)
        .init();
    let listener = TcpListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    run(listener, Path::new("."))
}

/// The router in this process, for a machine that does nothing else.
pub fn serve_alone(config: &Config) -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind(config.router_http)
        .with_context(|| format!("the router cannot listen on {}", config.router_http))?;
    fs::create_dir_all(config.router_dir())?;
    run(listener, &config.router_dir())
}

fn run(listener: TcpListener, directory: &Path) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let config = RouterConfig {
        http: vec![listener],
        control: ControlSocket::Path(control_socket(directory)),
        table_file: directory.join("table.json"),
        workers: None,
        limits: Limits::default(),
    };
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        crate::shutdown::on_signal(shutdown.clone(), Duration::from_secs(40))?;
        windlass_router::run(config, shutdown.cancelled_owned()).await?;
        anyhow::Ok(ExitCode::SUCCESS)
    })
}

fn control_socket(directory: &Path) -> PathBuf {
    directory.join("control.sock")
}
