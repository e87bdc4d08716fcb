//! The proof that Windlass keeps its promises when what is beneath it fails.
//!
//! In the shape of Jepsen (<https://jepsen.io>): a driver does operations against a real engine and writes a history; faults are
//! injected on a schedule that a seed decides; visitors ask the apps all the while; then the faults are healed, quiescence is
//! waited for, and a checker compares what was acknowledged with rows, Docker, the router's table and answers over HTTP.
//!
//! The engine under test is the released program: crash points are found from outside, by proxies that stand between it and
//! Postgres and Docker. Like all tests this crate looks at Windlass from outside and panics where it cannot go on.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a proof that cannot go on should stop, and it may read its arguments"
)]

pub mod args;
pub mod check;
pub mod history;
pub mod load;
pub mod loop_disk;
pub mod machine;
pub mod point;
pub mod private_docker;
pub mod proxy;
pub mod report;
pub mod scenario;
pub mod seed;
pub mod shard;
pub mod site;
pub mod stage;
pub mod world;
