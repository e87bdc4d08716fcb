//! Routes: which requests go to which instances. The same [`Route`] drives the built-in router and a real Traefik.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{AppName, Hostname, InstanceId, ProcessType};

/// One host (and path) of an app and the instances that serve it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The app.
    pub app: AppName,
    /// The process type.
    pub process: ProcessType,
    /// The host that requests name.
    pub host: Hostname,
    /// The path that requests begin with; `/` for all.
    pub path: String,
    /// What is done to requests on the way, in order.
    #[serde(default)]
    pub middlewares: Vec<Middleware>,
    /// Where they go. Empty while no instance is healthy: the router then answers 503.
    pub upstreams: Vec<Upstream>,
}

/// What is done to a request on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Middleware {
    /// Removes the route's path from the front of the request's path.
    StripPath,
    /// Answers with a redirect to HTTPS.
    RedirectToHttps,
    /// Adds a header to the response.
    ResponseHeader {
        /// Its name, in lower case.
        name: String,
        /// Its value.
        value: String,
    },
}

/// One instance that serves a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The instance.
    pub instance: InstanceId,
    /// Where it listens.
    pub address: SocketAddr,
}

/// All routes at one moment. The router only ever gets whole tables.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteTable {
    /// Grows with each table; the router refuses one that is older than what it has.
    pub generation: u64,
    /// The routes; host and path are unique together.
    pub routes: Vec<Route>,
}
