//! What the router's process itself does: listens on its standard input, works in its current directory.

use std::{fs::File, net::TcpListener, os::fd::AsFd, path::Path, process::ExitCode};

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;
use windlass_router::{ControlSocket, Limits, RouterConfig};

use super::{DRAIN, child::own_socket_name};
use crate::{config::LogFormat, logging};

/// A client has its own connection, and one to an instance.
const DESCRIPTORS_PER_CLIENT: u64 = 2;

/// Runs the router until it is told to end.
pub fn serve() -> anyhow::Result<ExitCode> {
    let level = crate::environment("WINDLASS_LOG").unwrap_or_else(|| "info".to_owned());
    let format = match crate::environment("WINDLASS_LOG_FORMAT").as_deref() {
        Some("text") => LogFormat::Text,
        _ => LogFormat::Json,
    };
    logging::install_as(&level, format)?;
    allow_all_descriptors(&Limits::default());
    let listener = TcpListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    listener
        .local_addr()
        .context("this command is for the engine, which hands it a listener; use `windlassd run --roles router`")?;
    // Or else the port would stay bound until the end of a drain.
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    run(listener)
}

/// systemd and shells set a soft limit of 1,024, for programs that still use `select`. This one may have what the hard limit allows.
fn allow_all_descriptors(limits: &Limits) {
    let allowed = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: allowed.maximum,
        ..allowed
    };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let needed = limits.max_connections as u64 * DESCRIPTORS_PER_CLIENT;
    if let Some(limit) = allowed.maximum.filter(|limit| *limit < needed) {
        tracing::warn!(
            limit,
            needed,
            clients = limits.max_connections,
            "the hard limit of open files is too low for so many clients; raise it (LimitNOFILE= in the unit)"
        );
    }
}

fn run(listener: TcpListener) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let config = RouterConfig {
        http: vec![listener],
        // Relative to the current directory: the folders above may be closed to the router's user.
        control: ControlSocket::Successor {
            own: own_socket_name(std::process::id()).into(),
            current: "control.sock".into(),
        },
        table_file: Path::new("table.json").to_owned(),
        workers: None,
        limits: Limits::default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        crate::shutdown::on_signal(shutdown.clone(), DRAIN)?;
        windlass_router::run(config, shutdown.cancelled_owned()).await?;
        anyhow::Ok(ExitCode::SUCCESS)
    })
}
