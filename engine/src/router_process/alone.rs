//! The router without an engine beside it.

use std::{fs, os::unix::process::CommandExt, process::ExitCode};

use anyhow::{Context, bail};
use windlass_router::control::ControlClient;

use super::{cannot_listen, cannot_start, child, listen};
use crate::{config::Config, logging};

/// The router instead of this process, for a machine that does nothing else: with the same user and the same folder.
pub fn serve_alone(config: &Config) -> anyhow::Result<ExitCode> {
    let listener = listen(config.router_http).with_context(|| cannot_listen(config))?;
    refuse_a_second(config)?;
    fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("cannot make the data directory {}", config.data_dir.display()))?;
    let format = if logging::is_text(config.log_format) {
        "text"
    } else {
        "json"
    };
    let mut command = child::command(config, listener)?;
    let error = command.env("WINDLASS_LOG_FORMAT", format).exec();
    Err(error).with_context(|| cannot_start(config))
}

/// One that drains is no obstacle: it has let go of its port.
fn refuse_a_second(config: &Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(ControlClient::new(config.router_socket()).status()) {
        Ok(status) if !status.closing => bail!(
            "a router runs already in {} (process {}); end it first",
            config.router_dir().display(),
            status.pid
        ),
        _ => Ok(()),
    }
}
