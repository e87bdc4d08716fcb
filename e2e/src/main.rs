//! `make bench`: what a deployment, its pick-up, an idle engine, faults and many deployments cost, beside the floor of this machine from
//! the same run.
//!
//! The floor of a deployment is the shortest ordinary way to the same: `git clone`, `docker build`, `docker run`, first 200. Both take
//! turns, so that whatever else the machine does falls on both.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement that cannot go on should stop, and it may read its arguments"
)]

mod deploy;
mod disk;
mod floor;
mod memory;
mod pickup;
mod reliability;
mod table;

use table::{Row, print};

#[tokio::main(worker_threads = 4)]
async fn main() {
    let rounds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(7);
    let mut rows: Vec<Row> = deploy::measure(rounds).await;
    rows.extend(pickup::measure(rounds.max(10)).await);
    rows.extend(memory::measure().await);
    rows.extend(reliability::measure(rounds).await);
    rows.extend(disk::measure().await);
    print(&rows);
}
