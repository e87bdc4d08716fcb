//! `windlassd stop`.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use windlass_router::control::ControlClient;

use crate::{config::Config, data_dir};

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
        stop_router(config)?;
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

fn stop_router(config: &Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = ControlClient::new(config.router_socket());
    let ended = runtime.block_on(async {
        if client.shutdown().await.is_err() {
            return false;
        }
        let deadline = tokio::time::Instant::now() + Duration::from_secs(40);
        while client.status().await.is_ok() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        true
    });
    println!(
        "{}",
        if ended {
            "The router has ended."
        } else {
            "No router runs."
        }
    );
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a command that waits for another process has nothing else to wait on"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}
