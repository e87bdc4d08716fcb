//! The Docker driver: [`windlass_runtime::Runtime`] over the Docker Engine API, 1.41 (Docker 20.10) and newer.
//!
//! One of the two homes of bollard; no type of it leaves this crate but the handle that the builder shares. It must never
//! import the store, the API or the worker: it answers questions and does as it is told, and remembers nothing.
//!
//! Whatever it lists, it lists by label; whatever it stops or removes, it first checks for the labels of its own engine.
//!
//! bollard logs the bodies of its requests, and with them the environment of containers, at level `debug`. Whoever sets up
//! logging must keep the target `bollard` at `info` or above.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should stop"))]

mod apps;
mod body;
mod connect;
mod container;
mod driver;
mod events;
mod fault;
mod gate;
mod image;
mod labelled;
mod lines;
mod logs;
mod network;
mod observe;
mod proc_net;
mod start;

pub use connect::{ConnectError, connect};
pub use driver::DockerRuntime;
pub use gate::GateError;
