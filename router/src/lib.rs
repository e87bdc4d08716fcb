//! The edge proxy: it takes every request from outside and passes it to a healthy instance.
//!
//! It runs as a process of its own, without rights, without the Docker socket and without Postgres, so that nothing that
//! happens to the rest of Windlass disturbs a request. All that it knows is one [`windlass_domain::RouteTable`], which the
//! engine hands over as a whole through the control socket ([`control`]) and which it keeps on disk to start from.
//!
//! It must never import `store`, `runtime` or a Docker client, never resolve a name, and never trust what a client says about
//! itself. Each worker thread has its own single-threaded Tokio runtime, and a request together with its upstream connection
//! is driven inside one task: no hand-over between threads, no task per request, no lock that two threads fight for.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should stop"))]

mod accept;
mod client_io;
mod clock;
mod config;
mod connection;
pub mod control;
mod endpoint;
mod error_page;
mod exchange;
mod head_scan;
mod message;
mod proxy;
mod proxy_body;
mod request_body;
mod server;
mod shortage;
mod state;
mod stream_executor;
mod table;
mod table_file;
mod timer;
mod tunnel;
mod upstream;

pub use config::{ControlSocket, Limits, RouterConfig};
pub use server::{RouterError, run};
pub use table::TableError;
