//! `windlassd stop`.

use std::{
    io,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use windlass_router::control::{self, ControlClient, ControlError};

use crate::{config::Config, data_dir, router_process};

/// A router gives its last requests half a minute.
const DRAINED: Duration = Duration::from_secs(40);

/// Ends the engine of the data directory, and with `all` its router too.
pub fn run(config: &Config, all: bool) -> anyhow::Result<ExitCode> {
    match data_dir::running_engine(config)? {
        Some(pid) => stop_engine(config, pid)?,
        None => println!("No engine runs on {}.", config.data_dir.display()),
    }
    // Roles that run apart are processes of their own.
    while let Some(pid) = data_dir::running_engine(config)? {
        stop_engine(config, pid)?;
    }
    if all {
        stop_routers(config)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn stop_engine(config: &Config, pid: i32) -> anyhow::Result<()> {
    let process = Pid::from_raw(pid).context("the pid file does not hold a process id")?;
    kill_process(process, Signal::TERM).with_context(|| format!("cannot signal the engine (process {pid})"))?;
    let deadline = Instant::now() + config.shutdown + Duration::from_secs(15);
    while data_dir::running_engine(config)? == Some(pid) {
        ensure!(
            Instant::now() < deadline,
            "the engine (process {pid}) did not end in time"
        );
        pause();
    }
    println!("The engine (process {pid}) has ended. Apps go on running.");
    Ok(())
}

fn stop_routers(config: &Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime
        .block_on(end_routers(config))
        .with_context(|| format!("the router still runs; its log is {}", config.router_log().display()))?;
    if ended.is_empty() {
        println!("No router runs.");
    }
    for said in ended {
        println!("{said}");
    }
    Ok(())
}

/// Ends all routers, which lets their requests end: the one that serves, and any that hangs or drains beside it. Returns what to say
/// of each.
async fn end_routers(config: &Config) -> anyhow::Result<Vec<&'static str>> {
    let folder = config.router_dir();
    let routers = match control::in_folder(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        found => found.with_context(|| format!("cannot look into {}", folder.display()))?,
    };
    let mut ended = Vec::new();
    for router in routers {
        ended.extend(end_router(&router, &folder).await?);
    }
    Ok(ended)
}

/// Ends a router. Nothing is to be said of one that is gone already.
async fn end_router(client: &ControlClient, folder: &Path) -> anyhow::Result<Option<&'static str>> {
    match client.shutdown().await {
        Ok(()) => {}
        Err(error) if error.says_gone() => return Ok(None),
        Err(ControlError::Timeout(_) | ControlError::Unreachable(_)) => {
            return end_silent_router(client, folder).await.map(Some);
        }
        Err(error) => return Err(error).context("the router does not know how to end; end its process"),
    }
    until_gone(client, DRAINED).await?;
    Ok(Some("The router has ended."))
}

/// What answers nothing does not end when asked to.
async fn end_silent_router(client: &ControlClient, folder: &Path) -> anyhow::Result<&'static str> {
    let process = client.process().await.ok().flatten();
    let process = process.context("the router does not answer, and its process cannot be found; end it by hand")?;
    router_process::kill(process, folder).context("the router does not answer, and cannot be ended; end it by hand")?;
    until_gone(client, Duration::from_secs(10)).await?;
    Ok("The router did not answer any more. It was ended, and with it the requests that it had.")
}

async fn until_gone(client: &ControlClient, patience: Duration) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + patience;
    while !client.process().await.is_err_and(|error| error.says_gone()) {
        ensure!(
            tokio::time::Instant::now() < deadline,
            "it did not end in time; try again, or end its process"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a command that waits for another process has nothing else to wait on"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}
