//! A Traefik that reads container labels.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use windlass_domain::{InstanceId, RouteTable};
use windlass_worker::{Edge, EdgeError, Traffic};

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

    async fn traffic(&self) -> Result<Option<HashMap<InstanceId, Traffic>>, EdgeError> {
        // Traefik does not count by container; a drained instance gets its whole drain time.
        Ok(None)
    }

    fn entrypoints(&self) -> Vec<String> {
        self.entrypoints.clone()
    }
}
