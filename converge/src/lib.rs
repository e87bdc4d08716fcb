//! Decides how the instances of one app come from what is to what is wanted.
//!
//! [`plan`] is a pure function of rows, observation and time. It holds the promise of the house: *new before old, healthy before
//! routed, drained before stopped*. It is asked again after every change, so a step only has to bring the app nearer; what a
//! killed worker left half done is simply what the next look sees. This crate must never know of Tokio, the store or a runtime.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should stop"))]

mod backoff;
mod observed;
mod plan;
mod retire;
mod takeover;

pub use backoff::restart_delay;
pub use observed::{Container, Crash, Instance, Observed};
pub use plan::{Desired, Fault, Plan, Step, Wanted, WantedProcess, plan};
