//! From a revision and a plan to an image, or to a failed build with its reason, through the BuildKit inside the Docker Engine.
//!
//! [`Builder::plan`] decides (a Dockerfile, or a buildpack's plan); [`Builder::build`] acts: it streams the tree as a tar that
//! never touches a disk, offers config vars as secret mounts over a session of its own, and reports steps and lines as they
//! happen. A broken app is a [`windlass_domain::Failure`]; only a fault of ours is an error.
//!
//! This crate must never know of releases, domains, the store, the API or the router, and must never run a shell.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should stop"))]

mod build;
mod cache;
mod config;
mod context;
mod diagnose;
mod dockerfile;
mod engine;
mod event;
pub mod ignore;
mod limits;
mod memory;
mod plan;
mod progress;
mod queue;
mod session;
mod solve;
mod space;

pub use windlass_buildpacks::BaseImages;

pub use build::{BuildError, BuildRequest, Builder, BuiltImage};
pub use config::{BuildLimits, BuilderConfig, EngineAddress, EngineAddressError};
pub use event::{BuildEvent, LineStream};
pub use limits::Unlimited;
pub use memory::human_bytes;
pub use plan::{DockerfilePlan, Plan, PlanFailure};
pub use space::Space;
