//! The edge as the worker sees it: something that takes whole tables and says what is in flight.

use std::collections::HashMap;

use async_trait::async_trait;
use windlass_domain::{InstanceId, RouteTable};

/// The edge did not do what it was asked to. Worth trying again.
#[derive(Debug, thiserror::Error)]
#[error("the router {0}")]
pub struct EdgeError(pub String);

/// What sends requests to instances: the built-in router in its own process, or a Traefik that reads container labels.
#[async_trait]
pub trait Edge: Send + Sync + 'static {
    /// Hands over a whole table. Returns when requests are routed by it.
    async fn apply(&self, table: &RouteTable) -> Result<(), EdgeError>;

    /// The generation of the table that requests are routed by; `None`: this edge cannot say.
    async fn generation(&self) -> Result<Option<u64>, EdgeError>;

    /// Requests being served, by instance. An instance that is absent serves none; `None`: this edge cannot say.
    async fn in_flight(&self) -> Result<Option<HashMap<InstanceId, u64>>, EdgeError>;

    /// Traefik's entry points, for the labels of routed containers.
    fn entrypoints(&self) -> Vec<String>;
}
