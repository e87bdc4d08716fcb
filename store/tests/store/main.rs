//! What the store promises, with the real Postgres: a database of its own for each test.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "tests: what cannot go on should stop, and names say what they prove"
)]

mod apps;
mod claims;
mod config;
mod events;
mod fencing;
mod health;
mod instances;
mod logs;
mod outlook;
mod queue;
mod rebuild;
mod releases;
mod support;
mod sweep;
mod takeover;
mod teams;
mod tokens;
mod watch;
mod webhooks;
