//! Upgraded connections (WebSockets and others): bytes both ways, until both sides have ended.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;

use crate::{connection::Exchange, endpoint::InFlight, proxy::Worker};

/// Per tunnel and direction: WebSocket messages are mostly small, and there may be thousands of tunnels.
const BUFFER_BYTES: usize = 8 * 1024;

/// Joins the two sides once both have switched. `held` counts the tunnel as in flight until it ends.
pub(crate) fn open(worker: &Worker, client: OnUpgrade, instance: OnUpgrade, held: (InFlight, Exchange)) {
    worker.tasks.spawn(async move {
        let _held = held;
        let (client, instance) = match tokio::try_join!(client, instance) {
            Ok(sides) => sides,
            Err(error) => return tracing::debug!(%error, "an upgrade came to nothing"),
        };
        let (mut client, mut instance) = (TokioIo::new(client), TokioIo::new(instance));
        // How a tunnel ends is the business of those who talk through it.
        let _ = copy_bidirectional_with_sizes(&mut client, &mut instance, BUFFER_BYTES, BUFFER_BYTES).await;
    });
}
