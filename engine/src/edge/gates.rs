//! The gates of a Traefik's instances: in the data directory, and tried out before anything depends on them.

use std::{collections::HashSet, io, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use windlass_gate::{Gates, State};
use windlass_runtime::{Gate, Observed, Runtime, Scope};
use windlass_runtime_docker::{DockerRuntime, GateError};

use crate::config::Config;

/// The gate that is tried out; no instance has such a name.
const TRIED: &str = "tried";
/// A gate that no container belongs to is removed when it is this old: the container may be about to be made.
pub(super) const ORPHANED: Duration = Duration::from_secs(120);
/// How often it is seen whether containers with gates are left.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);

/// Where gates are.
fn folder(config: &Config) -> PathBuf {
    config.data_dir.join("gates")
}

/// The gates of this data directory. Fails when Docker cannot use them: better now than at somebody's deployment.
pub async fn gates(config: &Config, docker: &DockerRuntime) -> anyhow::Result<Gates> {
    let root = folder(config);
    let gates =
        Gates::at(&root).with_context(|| format!("cannot make the gates of instances in {}", root.display()))?;
    // One worker at a time: they would try it out in the same container.
    let _turn = loop {
        match gates.turn_alone()? {
            Some(turn) => break turn,
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    match docker.try_gate(&open_gate(&gates)?).await {
        Ok(()) => {}
        Err(error @ GateError::Unusable { .. }) => {
            return Err(error).context(
                "router.kind = \"traefik\" needs a Docker that sees the data directory, under the same path: set docker_host to the Docker of \
                 this machine, data_dir to a folder that it sees, or router.kind to \"builtin\"",
            );
        }
        // A Docker that is just going away says nothing about gates.
        Err(error) => tracing::warn!(%error, "gates could not be tried out"),
    }
    gates.remove(TRIED)?;
    Ok(gates)
}

fn open_gate(gates: &Gates) -> anyhow::Result<Gate> {
    let folder = gates.make(TRIED)?;
    let state = State {
        open: true,
        told: false,
    };
    gates.set(TRIED, state)?;
    Ok(super::traefik::gate(folder))
}

/// Removes what a Traefik left that was the router before: the gate of each instance when its container is gone, for until then
/// Docker runs its program; and all the rest with the last. Ends when nothing is left.
pub async fn clear_away(config: &Config, runtime: Arc<dyn Runtime>) {
    let root = folder(config);
    loop {
        match clear_away_once(root.clone(), &*runtime).await {
            Ok(0) => return,
            Ok(left) => tracing::debug!(left, "instances that were started for a Traefik run on"),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "the gates of a Traefik's instances stay"),
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// How many are left.
async fn clear_away_once(root: PathBuf, runtime: &dyn Runtime) -> anyhow::Result<usize> {
    let Some(gates) = Gates::left_at(root)? else {
        return Ok(0);
    };
    let seen = runtime.observe(Scope::All).await?;
    let left = sweep(&gates, &seen)?;
    if left == 0 {
        gates.remove_all()?;
        tracing::info!("the last gate of a Traefik's instances is removed");
    }
    Ok(left)
}

/// Removes gates whose containers are gone. Says how many are left.
pub(super) fn sweep(gates: &Gates, seen: &[Observed]) -> io::Result<usize> {
    let used: HashSet<String> = seen.iter().map(|container| container.instance.to_string()).collect();
    let mut left = 0;
    for name in gates.names()? {
        // A clock that was put back makes none old.
        let age = gates.changed(&name).map(|at| at.elapsed().unwrap_or_default());
        if !used.contains(&name) && age.is_none_or(|age| age > ORPHANED) {
            gates.remove(&name)?;
        } else {
            left += 1;
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests;
