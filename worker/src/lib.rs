//! The loops that make what is wanted come true, and write what is.
//!
//! One module per arrow of the design: [`claim`] takes deployments from the queue, `deploy` carries a revision through fetch, build
//! and release, `converge` brings instances to what the rows want, `routes` tells the edge, `logs` collects what instances
//! write, `sweep` removes what nobody needs. Each loop is woken by a clock and by a signal, takes no input, and decides from rows and
//! observation. This crate must never import axum, bollard, sqlx, the api or the router: it reaches them through the store, the
//! runtime port and [`Edge`].
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should stop"))]

mod claim;
mod context;
mod converge;
mod deploy;
mod disk;
mod edge;
mod liveness;
mod logs;
mod network;
mod outage;
mod repositories;
mod routes;
mod sweep;
mod watch;

pub use context::{Worker, WorkerConfig, WorkerParts};
pub use disk::DiskLimits;
pub use edge::{Edge, EdgeError, Exception, Traffic};
