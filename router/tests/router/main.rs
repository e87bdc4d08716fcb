//! The router over real sockets: what a client sees, what an instance sees, and what the engine can ask.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on should stop")]

mod balancing;
mod control;
mod counting;
mod forwarding;
mod hostile;
mod routing;
mod streaming;
mod succession;
mod support;
