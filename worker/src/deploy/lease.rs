//! Holds the lease of a deployment while it is worked on, and hears of cancellation.

use std::{sync::Arc, time::Duration};

use tokio::{sync::broadcast, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use windlass_domain::DeploymentId;
use windlass_store::{Claim, Event, Heartbeat};

use crate::context::Shared;

/// A held lease.
pub(super) struct Lease {
    /// Cancelled when somebody asked for the deployment's end.
    pub(super) cancelled: CancellationToken,
    /// Cancelled when the deployment is no longer ours: nothing of it may be written any more.
    pub(super) lost: CancellationToken,
    task: Option<JoinHandle<()>>,
    end: CancellationToken,
}

impl Lease {
    /// Begins to renew the lease of a claimed deployment.
    pub(super) fn hold(shared: Arc<Shared>, claim: &Claim) -> Self {
        let (cancelled, lost, end) = (
            CancellationToken::new(),
            CancellationToken::new(),
            CancellationToken::new(),
        );
        if claim.deployment.cancel_requested {
            cancelled.cancel();
        }
        let beat = Beat {
            shared,
            id: claim.deployment.id,
            attempt: claim.attempt,
            cancelled: cancelled.clone(),
            lost: lost.clone(),
        };
        let task = tokio::spawn(beat.go_on(end.clone()));
        Self {
            cancelled,
            lost,
            task: Some(task),
            end,
        }
    }

    /// Stops renewing.
    pub(super) async fn end(mut self) {
        self.end.cancel();
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

impl Drop for Lease {
    /// Whatever ends the work, a panic too, the lease must not be renewed for nobody.
    fn drop(&mut self) {
        self.end.cancel();
    }
}

struct Beat {
    shared: Arc<Shared>,
    id: DeploymentId,
    attempt: i32,
    cancelled: CancellationToken,
    lost: CancellationToken,
}

impl Beat {
    async fn go_on(self, end: CancellationToken) {
        let lease = self.shared.config.lease;
        let mut events = self.shared.store.events();
        let mut held_since = Instant::now();
        loop {
            // The lease runs from when the database is asked, not from its answer. Once it has run out, another worker may have
            // the deployment, as far as we can know.
            let asked = Instant::now();
            let beat = self
                .shared
                .store
                .heartbeat(self.shared.id, self.id, self.attempt, lease);
            match tokio::time::timeout_at(held_since + lease, beat).await {
                Ok(Ok(Heartbeat::Held { cancel_requested })) => {
                    held_since = asked;
                    if cancel_requested {
                        self.cancelled.cancel();
                    }
                }
                Ok(Ok(Heartbeat::Lost)) | Err(_) => return self.lost.cancel(),
                Ok(Err(error)) if held_since.elapsed() < lease => {
                    tracing::debug!(deployment = %self.id, error = %error, "heartbeat failed");
                }
                Ok(Err(_)) => return self.lost.cancel(),
            }
            tokio::select! {
                () = end.cancelled() => return,
                () = self.hears_of_it(&mut events) => {}
                () = tokio::time::sleep(lease / 4) => {}
            }
        }
    }

    /// Returns when the database says that something about this deployment changed.
    async fn hears_of_it(&self, events: &mut broadcast::Receiver<Event>) {
        loop {
            match events.recv().await {
                Ok(Event::Deployment { deployment, .. }) if deployment == self.id => return,
                Ok(Event::Resync) => return,
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => return,
                Err(broadcast::error::RecvError::Closed) => tokio::time::sleep(Duration::from_secs(3600)).await,
            }
        }
    }
}
