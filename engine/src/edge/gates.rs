//! The gates of a Traefik's instances: in the data directory, and tried out before anything depends on them.

use std::time::Duration;

use anyhow::Context;
use windlass_gate::{Gates, State};
use windlass_runtime::Gate;
use windlass_runtime_docker::{DockerRuntime, GateError};

use crate::config::Config;

/// The gate that is tried out; no instance has such a name.
const TRIED: &str = "tried";

/// The gates of this data directory. Fails when Docker cannot use them: better now than at somebody's deployment.
pub async fn gates(config: &Config, docker: &DockerRuntime) -> anyhow::Result<Gates> {
    let root = config.data_dir.join("gates");
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
