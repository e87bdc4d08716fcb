//! The built-in router, in its own process.

use std::{collections::HashMap, path::PathBuf};

use async_trait::async_trait;
use windlass_domain::{InstanceId, RouteTable};
use windlass_router::control::{ControlClient, RouterStatus};
use windlass_worker::{Edge, EdgeError, Traffic};

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

    async fn status(&self) -> Result<RouterStatus, EdgeError> {
        let status = self.client.status().await;
        status.map_err(|error| EdgeError(format!("does not answer: {error}")))
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
        Ok(Some(self.status().await?.generation))
    }

    async fn traffic(&self) -> Result<Option<HashMap<InstanceId, Traffic>>, EdgeError> {
        let status = self.status().await?;
        let traffic = |in_flight| Traffic {
            in_flight,
            ..Traffic::default()
        };
        let counted = status.in_flight.into_iter();
        Ok(Some(counted.map(|(instance, count)| (instance, traffic(count))).collect()))
    }

    fn entrypoints(&self) -> Vec<String> {
        self.entrypoints.clone()
    }
}
