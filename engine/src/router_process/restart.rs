//! `windlassd router restart`.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, ensure};
use tokio::time::Instant;
use windlass_router::control::ControlClient;

use crate::config::Config;

const PATIENCE: Duration = Duration::from_secs(30);

/// Has the engine put a new router in the place of the one that runs, which takes the new connections at once while the old one lets
/// its requests end. No connection is refused or reset.
pub fn restart(config: &Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (old, new) = runtime.block_on(replaced(config))?;
    println!(
        "Router {new} (process id) serves in the place of router {old}, which ends with its last requests, within half a minute."
    );
    Ok(ExitCode::SUCCESS)
}

async fn replaced(config: &Config) -> anyhow::Result<(u32, u32)> {
    let client = ControlClient::new(config.router_socket());
    let old = client
        .status()
        .await
        .context("no router can be asked; `windlassd` starts one")?;
    let asked = client
        .replace()
        .await
        .context("the router does not know how to be replaced; start the engine anew, which ends it")?;
    ensure!(
        asked,
        "no engine looks after this router, so nobody would start another; start `windlassd` first"
    );
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(new) = client.status().await
            && new.pid != old.pid
        {
            return Ok((old.pid, new.pid));
        }
        ensure!(
            Instant::now() < deadline,
            "the engine has started no other router; see its log and {}",
            config.router_log().display()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
