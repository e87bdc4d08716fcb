//! Removes what nobody needs: images of releases that are no longer kept, containers without a row.

use std::{collections::HashSet, sync::Arc, time::Duration};

use windlass_domain::InstanceId;
use windlass_runtime::{Role, Scope};

use crate::context::Shared;

const PERIOD: Duration = Duration::from_secs(60);
/// What is younger may belong to work that is just beginning.
const GRACE: chrono::Duration = chrono::Duration::seconds(120);

/// Runs until shutdown.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut clock = tokio::time::interval(PERIOD);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            _ = clock.tick() => {}
        }
        for (what, result) in [
            ("images", images(&shared).await),
            ("containers", containers(&shared).await),
            ("rows", rows(&shared).await),
        ] {
            if let Err(error) = result {
                tracing::warn!(
                    what,
                    error = format!("{error:#}"),
                    "the sweep did not get through; trying again later"
                );
            }
        }
    }
}

async fn images(shared: &Shared) -> anyhow::Result<()> {
    for (_, image) in shared.store.removable_images(shared.config.keep_releases).await? {
        match shared.runtime.remove_image(&image.reference).await {
            Ok(()) => shared.store.mark_image_removed(image.id).await?,
            // An old instance may still be draining.
            Err(windlass_runtime::RuntimeError::InUse(_)) => {}
            // One that Docker will not give up must not keep the others.
            Err(error) => tracing::warn!(image = image.reference, error = %error, "an image cannot be removed"),
        }
    }
    Ok(())
}

/// Rows that nobody asks for any more.
async fn rows(shared: &Shared) -> anyhow::Result<()> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    // A forge sends a delivery again within days, never after a month.
    shared.store.forget_deliveries(DAY * 30).await?;
    shared.store.sweep_instances(DAY).await?;
    shared.store.sweep_deployment_logs(100).await?;
    Ok(())
}

/// Containers of ours that no row knows: a killed worker made them and never came to say so.
async fn containers(shared: &Shared) -> anyhow::Result<()> {
    let seen = shared.runtime.observe(Scope::All).await?;
    let known: HashSet<InstanceId> = shared
        .store
        .live_instances()
        .await?
        .into_iter()
        .map(|(row, _)| row.id)
        .collect();
    let young = chrono::Utc::now() - GRACE;
    for orphan in seen
        .into_iter()
        .filter(|c| c.role == Role::Instance && !known.contains(&c.instance))
    {
        if orphan.created_at.is_none_or(|at| at < young) {
            tracing::warn!(container = %orphan.container, name = %orphan.name, "removing a container that no row knows");
            shared.runtime.remove(&orphan.container).await?;
        }
    }
    Ok(())
}
