//! The test kit of Windlass: a real engine with everything real beneath it, spoken to in the words of the domain.
//!
//! ```no_run
//! # async fn story() {
//! use windlass_testkit::{Engine, files};
//!
//! let engine = Engine::start().await;
//! let shop = engine.app("shop").await;
//! shop.push(&files::saying("hello")).await.must_succeed();
//! assert_eq!(shop.get("/").await.body, "hello\n");
//! # }
//! ```
//!
//! An engine takes a numbered *slot* of the machine, which gives it ports and a network pool that no other test has; dropping it
//! ends it and removes whatever it made. It is for tests only: it panics where a test cannot go on, and reads the environment.
//! It must never be a dependency of anything but tests.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on should stop, and a test may read the environment"
)]

mod api;
mod app;
mod browser;
mod command;
pub mod docker;
mod engine;
pub mod files;
mod git;
mod http;
mod postgres;
mod process;
mod slot;
mod traefik;
mod wait;

pub use api::{Api, Reply};
pub use app::{App, Push};
pub use browser::Browser;
pub use command::{Output, run, run_in};
pub use engine::{Engine, EngineOptions};
pub use git::{GitRepo, GitServer};
pub use http::{Answer, Visitor, get};
pub use postgres::{ThrowawayPostgres, kill_postgres};
pub use process::{Windlassd, program};
pub use slot::Slot;
pub use traefik::Traefik;
pub use wait::{eventually, wait_until};
