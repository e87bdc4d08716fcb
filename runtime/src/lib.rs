//! The port through which Windlass runs containers, and the judgement of what it sees there: whether an instance is ready
//! ([`probe`]) and why it is not ([`diagnose`]).
//!
//! This crate says what a container runtime must do; drivers such as `windlass-runtime-docker` do it, and the suite in
//! `conformance` (feature `testing`) holds every driver, and the fake, to the same behaviour. It must never import a client
//! library of a runtime (bollard) nor the store: what it returns are values, and whoever called writes the rows.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should stop"))]

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod diagnose;
mod error;
#[cfg(any(test, feature = "testing"))]
pub mod fake;
mod observed;
mod port;
mod probe;
mod spec;

pub use diagnose::{Symptoms, diagnose};
pub use error::{NetworkError, RuntimeError, StartError};
pub use observed::{
    AppImage, ContainerState, EventKind, Exit, Glimpse, Health, LogStream, LogsFrom, Observed, RunLogLine,
    RuntimeEvent, RuntimeInfo, Scope, Started,
};
pub use port::Runtime;
pub use probe::{NotReady, ProbeResult, probe, probe_host};
pub use spec::{ContainerId, Gate, InstanceSpec, NetworkSpec, Role};
