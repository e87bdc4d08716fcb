//! The edge as the worker sees it: something that takes whole tables and says what is in flight.

use std::collections::HashMap;

use async_trait::async_trait;
use windlass_domain::{AppName, InstanceId, RouteTable};
use windlass_runtime::Gate;

/// The edge did not do what it was asked to. Worth trying again.
#[derive(Debug, thiserror::Error)]
#[error("the router {0}")]
pub struct EdgeError(pub String);

/// An instance with which an edge does not do as a table says, though it took the table for all others. Its reason names it, and says
/// what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the router {reason}")]
pub struct Exception {
    /// Which instance.
    pub instance: InstanceId,
    /// Whose it is.
    pub app: AppName,
    /// Goes on from "the router".
    pub reason: String,
}

/// What the edge counts of one instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that it is serving now.
    pub in_flight: u64,
    /// Requests that it was sent and that are over, since the edge first heard of it.
    pub answered: u64,
    /// How many of those ended with a status of 500 or more, or with no answer at all.
    pub failed: u64,
}

/// What sends requests to instances: the built-in router in its own process, or a Traefik that reads container labels.
#[async_trait]
pub trait Edge: Send + Sync + 'static {
    /// Hands over a whole table. Returns when requests are routed by it, with the instances of which that is not so. Trouble with
    /// one of them is no error: the others must not wait for it.
    async fn apply(&self, table: &RouteTable) -> Result<Vec<Exception>, EdgeError>;

    /// The generation of the table that requests are routed by; `None`: this edge cannot say.
    async fn generation(&self) -> Result<Option<u64>, EdgeError>;

    /// What instances serve and have served. One that is absent serves nothing; `None`: this edge cannot say.
    async fn traffic(&self) -> Result<Option<HashMap<InstanceId, Traffic>>, EdgeError>;

    /// What the container of an instance that will be routed to is started with, for an edge that finds containers by itself: it
    /// must not find this one before a table names it. `None`: this edge only knows its tables.
    fn gate(&self, _instance: InstanceId) -> Result<Option<Gate>, EdgeError> {
        Ok(None)
    }

    /// Traefik's entry points, for the labels of routed containers.
    fn entrypoints(&self) -> Vec<String>;
}
