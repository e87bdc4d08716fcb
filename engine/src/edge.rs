//! The edge that the worker talks to: the built-in router over its control socket, or a Traefik that reads container labels.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use async_trait::async_trait;
use windlass_domain::{InstanceId, RouteTable};
use windlass_router::control::ControlClient;
use windlass_worker::{Edge, EdgeError};

/// The router process of this machine.
pub struct BuiltinEdge {
    client: ControlClient,
    entrypoints: Vec<String>,
}

impl BuiltinEdge {
    /// Talks to the router behind this socket.
    pub fn new(socket: PathBuf, entrypoints: Vec<String>) -> Self {
        Self {
            client: ControlClient::new(socket),
            entrypoints,
        }
    }
}

#[async_trait]
impl Edge for BuiltinEdge {
    async fn apply(&self, table: &RouteTable) -> Result<(), EdgeError> {
        match self.client.apply(table.clone()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(EdgeError(format!("did not take table {}: {error}", table.generation))),
        }
    }

    async fn generation(&self) -> Result<Option<u64>, EdgeError> {
        let status = self
            .client
            .status()
            .await
            .map_err(|error| EdgeError(format!("does not answer: {error}")))?;
        Ok(Some(status.generation))
    }

    async fn in_flight(&self) -> Result<Option<HashMap<InstanceId, u64>>, EdgeError> {
        let status = self
            .client
            .status()
            .await
            .map_err(|error| EdgeError(format!("does not answer: {error}")))?;
        Ok(Some(status.in_flight.into_iter().collect()))
    }

    fn entrypoints(&self) -> Vec<String> {
        self.entrypoints.clone()
    }
}

/// A Traefik with the Docker provider. It finds containers by itself; all there is to do is to give it the time to notice.
pub struct TraefikEdge {
    entrypoints: Vec<String>,
}

/// Traefik's Docker provider gathers changes for 2 s before it acts on them.
const PROVIDER_THROTTLE: Duration = Duration::from_millis(2500);

impl TraefikEdge {
    /// For these entry points.
    pub const fn new(entrypoints: Vec<String>) -> Self {
        Self { entrypoints }
    }
}

#[async_trait]
impl Edge for TraefikEdge {
    async fn apply(&self, _table: &RouteTable) -> Result<(), EdgeError> {
        tokio::time::sleep(PROVIDER_THROTTLE).await;
        Ok(())
    }

    async fn generation(&self) -> Result<Option<u64>, EdgeError> {
        Ok(None)
    }

    async fn in_flight(&self) -> Result<Option<HashMap<InstanceId, u64>>, EdgeError> {
        // Traefik does not count by container; a drained instance gets its whole drain time.
        Ok(None)
    }

    fn entrypoints(&self) -> Vec<String> {
        self.entrypoints.clone()
    }
}
