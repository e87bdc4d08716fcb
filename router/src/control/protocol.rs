//! The messages on the control socket.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};
use windlass_domain::{InstanceId, RouteTable};

/// Longest message in bytes, newline included. A table of 100,000 routes has about 30 MB.
pub(super) const MAX_MESSAGE_BYTES: u64 = 64 * 1024 * 1024;

/// What the engine asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Request {
    Apply {
        table: RouteTable,
    },
    Status,
    Shutdown,
    /// The live table, for a successor.
    Table,
    /// The listening sockets, for a successor or for safekeeping. They come with the answer as file descriptors.
    Listeners,
    /// Tell from now on what happens to the router.
    Watch,
    /// Ask those who watch to start another router in this one's place.
    Replace,
}

/// What the router answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum Answer {
    Applied(Ack),
    Status(RouterStatus),
    /// The router closes: an answer, and a sign to those who watch.
    Stopping,
    Table {
        table: RouteTable,
    },
    Listeners {
        count: usize,
    },
    Watching,
    /// Another router is to take over: an answer, and a sign to those who watch.
    Replacing,
    /// Nobody watches who could start another router.
    Unwatched,
    Stale {
        given: u64,
        live: u64,
    },
    Invalid {
        reason: String,
    },
    Malformed {
        reason: String,
    },
}

/// A table is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The generation that is live: the table's own.
    pub generation: u64,
    /// Whether the table is on disk too. If not, the router serves it but would not after a restart.
    pub persisted: bool,
    /// Whether the router was told to end: another one has to have the table too.
    #[serde(default)]
    pub closing: bool,
}

/// An address that gets no requests for some seconds because it refused connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ejected {
    /// The instance.
    pub instance: InstanceId,
    /// Its address.
    pub address: SocketAddr,
}

/// What an instance was sent and how it fared, since the router heard of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Requests and tunnels that are over.
    pub answered: u64,
    /// How many of them the instance answered with a status of 500 or more, not at all, or not to the end.
    pub failed: u64,
}

/// What the router is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterStatus {
    /// The generation of the live table; 0 before the first.
    pub generation: u64,
    /// Requests and tunnels in flight by instance, also of instances that are no longer in the table. Those without any are
    /// left out.
    pub in_flight: BTreeMap<InstanceId, u64>,
    /// What each instance of the table was sent, and each that left the table and still serves a request.
    #[serde(default)]
    pub served: BTreeMap<InstanceId, Served>,
    /// Requests answered since the start, refused ones included.
    pub requests_total: u64,
    /// Open client connections.
    pub connections: u64,
    /// Addresses that get no requests at the moment.
    pub ejected: Vec<Ejected>,
    /// The router's version.
    pub version: String,
    /// The router's process id.
    pub pid: u32,
    /// Whether it was told to end: it takes no new connections.
    #[serde(default)]
    pub closing: bool,
}
