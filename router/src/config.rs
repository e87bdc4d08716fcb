//! What the router is told at its start.

use std::{net::TcpListener, num::NonZeroUsize, os::unix::net::UnixListener, path::PathBuf, time::Duration};

/// All that [`crate::run`] needs.
#[derive(Debug)]
pub struct RouterConfig {
    /// Bound sockets for plain HTTP/1.1 and HTTP/2 with prior knowledge. At least one.
    pub http: Vec<TcpListener>,
    /// Where the engine hands over route tables.
    pub control: ControlSocket,
    /// The file that holds the last applied table. Its folder must exist and be writable.
    pub table_file: PathBuf,
    /// Worker threads; `None` for one per core.
    pub workers: Option<NonZeroUsize>,
    /// Time and size limits.
    pub limits: Limits,
    /// What it says about itself: the version of the program that it is part of.
    pub version: String,
}

/// The control socket, bound already or as a path.
#[derive(Debug)]
pub enum ControlSocket {
    /// A bound socket; its permissions are the caller's duty.
    Bound(UnixListener),
    /// A path. A socket file that nobody answers on is replaced; the new one is open to its owner only.
    Path(PathBuf),
    /// For a router that may take over from another one: `own` is its socket as long as it lives, and `current` becomes a second
    /// name of it as soon as it serves, whoever had that name before. Both are in one folder.
    Successor {
        /// A path that no other living router has, ending in `.sock`.
        own: PathBuf,
        /// The path by which the router that serves is found.
        current: PathBuf,
    },
}

/// Time and size limits against slow, greedy or broken peers.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From the first byte of a request's head (or the connection's start) to its end; then 408.
    pub header_read: Duration,
    /// How long a connection may wait for its next request.
    pub keep_alive_idle: Duration,
    /// How long a connection may go on waiting for its next request after the router was told to end, or after a response that
    /// ended later. That request is still answered, and is the connection's last: closing at once would cut off those that are
    /// on their way.
    pub keep_alive_grace: Duration,
    /// How long a body may stand still, in either direction. Upgraded connections have no such limit.
    pub body_idle: Duration,
    /// For connecting to an instance while another one can be tried.
    pub connect: Duration,
    /// For connecting to the last instance that can be tried; then 504.
    pub connect_last: Duration,
    /// From the end of the request to the head of the response; then 504.
    pub response_header: Duration,
    /// How long [`crate::run`] waits for requests in flight after it was told to stop.
    pub drain: Duration,
    /// Largest head of a request in bytes; then 431.
    pub max_header_bytes: usize,
    /// Largest request body in bytes; then 413. `None` for no limit.
    pub max_request_body_bytes: Option<u64>,
    /// Connections at a time; those beyond are answered with 503 and closed.
    pub max_connections: usize,
    /// Connections at a time from one address; 0 for no limit.
    pub max_connections_per_ip: usize,
    /// Idle connections that each worker thread keeps to each instance.
    pub idle_upstreams: usize,
    /// How long an idle connection to an instance is kept.
    pub upstream_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_read: Duration::from_secs(10),
            keep_alive_idle: Duration::from_secs(75),
            keep_alive_grace: Duration::from_secs(5),
            body_idle: Duration::from_secs(60),
            connect: Duration::from_secs(2),
            connect_last: Duration::from_secs(8),
            response_header: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            max_header_bytes: 64 * 1024,
            max_request_body_bytes: None,
            max_connections: 16_384,
            max_connections_per_ip: 1_024,
            idle_upstreams: 128,
            upstream_idle: Duration::from_secs(60),
        }
    }
}
