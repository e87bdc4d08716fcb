//! The router as a process of its own: unprivileged, without Docker's socket and without PostgreSQL. It outlives the engine, so
//! that killing or upgrading the engine disturbs no request.
//!
//! The engine in turn keeps a duplicate of the router's listening socket, so that a router that is killed, upgraded or restarted
//! leaves its queue of connections to its successor: a client waits a moment, but is never refused.

mod alone;
mod child;
mod process;
mod pulse;
mod restart;
mod succession;

use std::{net::SocketAddr, net::TcpListener, time::Duration};

use anyhow::Context;
use tokio::time::Instant;

use crate::config::Config;

pub use alone::serve_alone;
pub use process::serve;
pub use restart::restart;
pub use succession::{ensure, supervise};

/// How long a router that was asked to end may drain.
const DRAIN: Duration = Duration::from_secs(40);

/// Binds the router's address; a router that is just ending may hold it until the deadline.
async fn bind(config: &Config, deadline: Instant) -> anyhow::Result<TcpListener> {
    loop {
        match TcpListener::bind(config.router_http) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(error).with_context(|| cannot_listen(config)),
        }
    }
}

/// Whether a socket listens where the configuration says. Port 0 stands for any.
fn listens_where_wanted(listener: &TcpListener, wanted: SocketAddr) -> bool {
    listener
        .local_addr()
        .is_ok_and(|at| at.ip() == wanted.ip() && (wanted.port() == 0 || at.port() == wanted.port()))
}

fn cannot_start(config: &Config) -> String {
    format!(
        "cannot start the router process in {}; every folder above it must let others pass (chmod o+x)",
        config.router_dir().display()
    )
}

fn cannot_listen(config: &Config) -> String {
    format!(
        "the router cannot listen on {}; free the port, or set router.http to another address",
        config.router_http
    )
}
