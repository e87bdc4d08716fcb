//! Takes deployments from the queue.

use std::{sync::Arc, time::Duration};

use crate::{context::Shared, deploy};

/// How often the queue is looked at when no notification comes.
const POLL: Duration = Duration::from_secs(2);

/// Claims whatever can be claimed, whenever the database notifies or the clock says so.
pub(crate) async fn run(shared: Arc<Shared>) {
    while !shared.shutdown.is_cancelled() {
        claim_all(&shared).await;
        tokio::select! {
            () = shared.shutdown.cancelled() => {}
            () = shared.work_waits.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

async fn claim_all(shared: &Arc<Shared>) {
    while !shared.shutdown.is_cancelled() {
        match shared.store.claim_deployment(shared.id, shared.config.lease).await {
            Ok(Some(claim)) => {
                let own = shared.clone();
                shared.tasks.spawn(async move {
                    deploy::run(&own, claim).await;
                    // The next one of the same app may go on.
                    own.work_waits.notify_one();
                });
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(
                    error = format!("{:#}", anyhow::Error::from(error)),
                    "cannot claim deployments"
                );
                return;
            }
        }
    }
}
