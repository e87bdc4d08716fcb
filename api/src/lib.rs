//! The public HTTP API: intents come in, views and streams go out.
//!
//! It also takes webhooks and `git push` over HTTP, and serves its own description at `/docs`. Everything it does is a row in the
//! store (or an object in a git repository): it records what is wanted and shows what is. It must never touch a container, an
//! image or the router, must never build, and must never write SQL.
//!
//! [`router()`] is the whole API on one page; `routes` has a file for each resource; a handler extracts, asks once, and maps.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should stop"))]

mod config;
mod description;
mod edge;
mod extract;
mod follow;
mod outlook;
mod planner;
mod problem;
mod push;
pub mod push_hook;
mod readiness;
mod router;
mod routes;
mod serve;
mod settings;
mod state;
mod views;

pub use config::ApiConfig;
pub use description::openapi;
pub use outlook::{BuildOutlook, Foreseen};
pub use push::{bind_hook, serve_hook};
pub use readiness::{Check, ReadinessChecks};
pub use router::router;
pub use serve::serve;
pub use state::ApiState;
