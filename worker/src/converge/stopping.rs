//! Stops and removes containers in the background. An app may take its whole grace time, and Docker may not be able to remove a
//! container at all: the app's other instances need looking after meanwhile.

use std::{sync::Arc, time::Duration};

use windlass_domain::{AppId, InstanceId};
use windlass_runtime::ContainerId;
use windlass_store::InstanceRow;

use crate::context::Shared;

/// When a stop that failed is tried again.
const STOP_AGAIN: Duration = Duration::from_secs(1);
/// When a removal that failed is tried again. Nobody waits for it.
const REMOVE_AGAIN: Duration = Duration::from_secs(10);

/// Marks an instance as being stopped for as long as somebody stops it, however that ends.
pub(super) struct Stopping {
    shared: Arc<Shared>,
    app: AppId,
    instance: InstanceId,
}

impl Stopping {
    /// None: somebody stops it already.
    pub(super) fn begin(shared: &Arc<Shared>, (app, instance): (AppId, InstanceId)) -> Option<Self> {
        shared.converger.begin_stopping(instance).then(|| Self {
            shared: shared.clone(),
            app,
            instance,
        })
    }

    /// Stops an instance, which may take its time to finish what it has, and removes its container.
    pub(super) fn stop(self, row: InstanceRow, container: Option<ContainerId>, grace: Duration) {
        let tasks = self.shared.tasks.clone();
        tasks.spawn(async move {
            if let Err(error) = stop_and_remove(&self.shared, &row, container, grace).await {
                self.failed(&error, STOP_AGAIN).await;
            }
        });
    }

    /// Removes a container. The log of one that has ended is read to its end before.
    pub(super) fn remove(self, container: ContainerId, ended: Option<InstanceRow>) {
        let tasks = self.shared.tasks.clone();
        tasks.spawn(async move {
            // At shutdown it stays: the next engine finds it.
            let removed = tokio::select! {
                () = self.shared.shutdown.cancelled() => return,
                removed = remove(&self.shared, ended.as_ref(), &container) => removed,
            };
            if let Err(error) = removed {
                self.failed(&error, REMOVE_AGAIN).await;
            }
        });
    }

    async fn failed(&self, error: &anyhow::Error, again: Duration) {
        tracing::warn!(
            instance = %self.instance,
            error = format!("{error:#}"),
            "cannot stop an instance or remove its container; trying again"
        );
        tokio::select! {
            () = self.shared.shutdown.cancelled() => {}
            () = tokio::time::sleep(again) => {}
        }
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        self.shared.converger.end_stopping(self.instance);
        self.shared.converger.wake(self.app);
    }
}

async fn remove(shared: &Shared, ended: Option<&InstanceRow>, container: &ContainerId) -> anyhow::Result<()> {
    if let Some(row) = ended {
        shared.logs.finish(row, container).await;
    }
    Ok(shared.runtime.remove(container).await?)
}

async fn stop_and_remove(
    shared: &Shared,
    row: &InstanceRow,
    container: Option<ContainerId>,
    grace: Duration,
) -> anyhow::Result<()> {
    let gone = async {
        if let Some(container) = &container {
            shared.runtime.stop(container, grace).await?;
            remove(shared, Some(row), container).await?;
        }
        shared.store.instance_stopped(row.id).await?;
        Ok(())
    };
    // At shutdown the container goes on draining by itself: the next engine finds the row and stops it.
    tokio::select! {
        () = shared.shutdown.cancelled() => Ok(()),
        gone = gone => gone,
    }
}
