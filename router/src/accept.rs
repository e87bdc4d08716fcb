//! Accepts connections, within the caps.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::net::{TcpListener, TcpStream};

use crate::{connection, proxy::Worker, shortage::ShortageLog, state::Shared};

const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";

/// How many connections there may be, in all and from one address.
pub(crate) struct ConnectionCaps {
    max: usize,
    max_per_ip: usize,
    open: AtomicUsize,
    per_ip: Mutex<HashMap<IpAddr, usize>>,
}

impl ConnectionCaps {
    pub(crate) fn new(max: usize, max_per_ip: usize) -> Self {
        Self {
            max,
            max_per_ip,
            open: AtomicUsize::new(0),
            per_ip: Mutex::default(),
        }
    }

    fn admit(&self, ip: IpAddr) -> bool {
        if self.open.load(Relaxed) >= self.max {
            return false;
        }
        if self.max_per_ip > 0 {
            let mut per_ip = self.per_ip.lock().unwrap_or_else(PoisonError::into_inner);
            let count = per_ip.entry(ip).or_default();
            if *count >= self.max_per_ip {
                return false;
            }
            *count += 1;
        }
        self.open.fetch_add(1, Relaxed);
        true
    }

    fn release(&self, ip: IpAddr) {
        self.open.fetch_sub(1, Relaxed);
        if self.max_per_ip > 0 {
            let mut per_ip = self.per_ip.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = per_ip.get_mut(&ip) {
                *count -= 1;
                if *count == 0 {
                    per_ip.remove(&ip);
                }
            }
        }
    }

    /// Connections that are open now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }
}

/// A place under the caps, held as long as the connection (or the tunnel that it became) lives.
pub(crate) struct Admission {
    shared: Arc<Shared>,
    ip: IpAddr,
}

impl Admission {
    fn ask(shared: &Arc<Shared>, ip: IpAddr) -> Option<Self> {
        shared.caps.admit(ip).then(|| Self {
            shared: Arc::clone(shared),
            ip,
        })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.shared.caps.release(self.ip);
    }
}

/// Accepts until the router closes; each connection becomes one task on this thread.
pub(crate) async fn accept(listener: TcpListener, worker: Arc<Worker>) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = worker.shared.closing.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => admit(&worker, stream, peer.ip().to_canonical()),
            Err(error) => pause_after(&error, &worker.shared.shortages).await,
        }
    }
}

fn admit(worker: &Arc<Worker>, stream: TcpStream, ip: IpAddr) {
    let Some(admission) = Admission::ask(&worker.shared, ip) else {
        tracing::debug!(%ip, "connection refused: too many are open");
        let _ = stream.try_write(BUSY);
        return;
    };
    // A peer that is gone already shows itself at the first read.
    let _ = stream.set_nodelay(true);
    worker
        .tasks
        .spawn(connection::serve(Arc::clone(worker), stream, admission, ip));
}

/// A connection that was reset before it was accepted is not the listener's fault; all else (no file descriptors left) needs a
/// pause, or the loop would spin.
async fn pause_after(error: &io::Error, shortages: &ShortageLog) {
    let peers_fault = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    );
    if !peers_fault {
        shortages.note(
            error,
            "connections wait to be accepted, and are tried again every 50 ms",
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
