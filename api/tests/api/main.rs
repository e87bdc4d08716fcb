//! The API as its clients meet it: the real router, Postgres and git. Where a worker is needed, the test plays it through the store.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "tests: what cannot go on should stop, and names say what they prove"
)]

mod access;
mod apps;
mod client;
mod config;
mod config_plans;
mod deployments;
mod description;
mod logs;
mod matrix;
mod plans;
mod problems;
mod push;
mod running;
mod serving;
mod support;
mod webhooks;
mod worker;
