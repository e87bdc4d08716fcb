//! The router as a process of its own: unprivileged, without Docker's socket and without PostgreSQL. It outlives the engine, so
//! that killing or upgrading the engine disturbs no request.
//!
//! The engine in turn keeps a duplicate of the router's listening socket, so that a router that is killed, upgraded or restarted
//! leaves its queue of connections to its successor: a client waits a moment, but is never refused.

mod alone;
mod child;
mod kill;
mod process;
mod pulse;
mod restart;
mod succession;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use anyhow::Context;
use tokio::time::Instant;

use crate::config::Config;

pub use alone::serve_alone;
pub use kill::kill;
pub use process::serve;
pub use restart::restart;
pub use succession::{Router, ensure, supervise};

/// How many clients may wait for a router that is just being replaced. The kernel has its own bound (`net.core.somaxconn`), of 4,096
/// by default; the standard library asks for 128 only.
const QUEUE: i32 = 4096;
/// How long a router that was asked to end may drain.
const DRAIN: Duration = Duration::from_secs(40);

/// Binds the router's address; a router that is just ending may hold it until the deadline.
async fn bind(config: &Config, deadline: Instant) -> anyhow::Result<TcpListener> {
    loop {
        match listen(config.router_http) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(error).with_context(|| cannot_listen(config)),
        }
    }
}

/// Binds an address, with room for those who wait.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    make_room(&listener)?;
    Ok(listener)
}

/// Lets more clients wait at a socket that listens already.
fn make_room(listener: &TcpListener) -> io::Result<()> {
    Ok(rustix::net::listen(listener, QUEUE)?)
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

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    /// More than the standard library has room for, and fewer than a test may have open.
    const CLIENTS: usize = 300;

    /// Returns when so many clients are connected, none of them accepted.
    fn crowd(listener: &TcpListener) -> Vec<TcpStream> {
        let address = listener.local_addr().unwrap();
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_secs(20)).unwrap();
        (0..CLIENTS).map(connect).collect()
    }

    #[test]
    fn hundreds_of_clients_may_wait_for_a_router() {
        crowd(&listen("127.0.0.1:0".parse().unwrap()).unwrap());
    }

    #[test]
    fn a_socket_that_was_handed_over_gets_room_for_them_too() {
        let handed = TcpListener::bind("127.0.0.1:0").unwrap();
        make_room(&handed).unwrap();
        crowd(&handed);
    }
}
