//! The gates of instances: how a router that asks the container runtime for health, such as a Traefik, is told who takes requests.
//!
//! Each instance has a folder on the host, which is mounted read-only into its container. It holds a static program and a file that
//! says whether the gate is open. The runtime runs the program to ask for the container's health: healthy is whose gate is open. So
//! the engine alone decides, by writing files, and what it decided outlives it.
//!
//! This crate holds both ends, [`Gates`] for the engine and the program for the container, and depends on nothing. It must never
//! know a runtime or a router.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should stop"))]

mod gates;
mod state;

pub use gates::{Gates, Turn};
pub use state::State;

/// Where an instance's folder is mounted in its container.
pub const MOUNTED_AT: &str = "/.windlass";

/// What is run in the container; ends with 0 when the gate is open and with 1 when it is not. It may take two minutes to answer when it
/// has nothing new to say.
pub const COMMAND: [&str; 2] = ["/.windlass/gate", "/.windlass/state"];
