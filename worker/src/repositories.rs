//! Keeps the repositories small. Every push and every fetch leaves objects and a ref of its deployment behind, and git itself packs and
//! drops nothing here; a killed engine may leave a deploy key.
//!
//! It removes only refs of deployments that are over and that no release was built by. What that leaves without a ref, git drops two weeks
//! later.

use std::{collections::HashSet, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use windlass_domain::AppId;

use crate::context::Shared;

/// Work that waits since before the start goes first.
const FIRST: Duration = Duration::from_secs(60);
const PERIOD: Duration = Duration::from_secs(3600);
/// A repository is packed once in so long, at most.
const REST: Duration = Duration::from_secs(24 * 3600);
/// How long packing may keep a fetch of the same app waiting.
const PACKED_WITHIN: Duration = Duration::from_secs(600);
/// Each one costs a process.
const FORGOTTEN_AT_ONCE: usize = 100;

/// Runs until shutdown.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut clock = interval_at(Instant::now() + FIRST, PERIOD);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let rounds = async {
        loop {
            clock.tick().await;
            if let Err(error) = round(&shared).await {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the repositories could not be looked after; trying again later"
                );
            }
        }
    };
    // Packing is ended with it.
    tokio::select! {
        () = shared.shutdown.cancelled() => {}
        () = rounds => {}
    }
}

/// One app after the other: this has time, and builds need the machine.
async fn round(shared: &Shared) -> anyhow::Result<()> {
    shared.repositories.sweep().await?;
    // Repositories without an app may be the only copy of somebody's work: nothing of them is touched.
    let known: HashSet<AppId> = shared.store.kept_apps().await?.into_iter().collect();
    for app in shared.repositories.apps().await? {
        if known.contains(&app)
            && let Err(error) = look_after(shared, app).await
        {
            tracing::warn!(%app, error = format!("{error:#}"), "a repository could not be looked after; trying again later");
        }
    }
    Ok(())
}

async fn look_after(shared: &Shared, app: AppId) -> anyhow::Result<()> {
    let (store, repositories) = (&shared.store, &shared.repositories);
    let kept = repositories.kept(app).await?;
    let over = store.forgettable_deployments(app, &kept).await?;
    for deployment in over.into_iter().take(FORGOTTEN_AT_ONCE) {
        repositories.forget(app, deployment).await?;
    }
    // One under way would have to wait for its fetch.
    if !store.open_deployments(app).await?.is_empty() || !repositories.needs_maintenance(app, REST).await? {
        return Ok(());
    }
    let packed = timeout(PACKED_WITHIN, repositories.maintain(app)).await;
    packed.context("packing took too long")??;
    tracing::debug!(%app, "packed a repository");
    Ok(())
}
