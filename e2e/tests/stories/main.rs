//! The stories of Windlass, from end to end: a real engine, git, Docker, Postgres and Traefik, seen from outside. One file for each
//! thing that a user wants; a story leaves nothing behind.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on should stop, and a test may read the environment"
)]

mod api;
mod bad_apps;
mod book;
mod cancel;
mod config;
mod containers;
mod destroy;
mod disk;
mod examples;
mod fetch;
mod health;
mod logs;
mod operations;
mod plan;
mod push;
mod quarantine;
mod rebuild;
mod restart;
mod rollback;
mod router;
mod scale;
mod strategies;
mod tour;
mod traefik;
mod watch;
mod webhook;
