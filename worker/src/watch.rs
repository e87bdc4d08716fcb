//! Watches releases that just went live, and rolls one back that does badly. Only asks for the rollback: that is a deployment like
//! any other.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::Utc;
use windlass_domain::{InstanceId, Record};
use windlass_store::WatchedRelease;

use crate::{Traffic, context::Shared};

/// How often the releases that are watched are judged.
const TICK: Duration = Duration::from_secs(1);

/// Runs until shutdown.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut clock = tokio::time::interval(TICK);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            _ = clock.tick() => {}
        }
        if let Err(error) = judge_all(&shared).await {
            tracing::debug!(error = format!("{error:#}"), "the watch could not look");
        }
    }
}

async fn judge_all(shared: &Shared) -> anyhow::Result<()> {
    let watched = shared.store.watched_releases().await?;
    if !watched.is_empty() {
        condemn(shared, &watched).await?;
    }
    for release in shared.store.condemned_releases().await? {
        if let Some(deployment) = shared.store.roll_back_condemned(&release).await? {
            tracing::warn!(
                app = %release.name, release = %release.version, to = %release.last_good, %deployment,
                reason = release.verdict, "a release is rolled back"
            );
        }
    }
    Ok(())
}

async fn condemn(shared: &Shared, watched: &[WatchedRelease]) -> anyhow::Result<()> {
    // An edge that cannot say leaves the crashes to judge by. What visitors are told while Docker is away says nothing of a release.
    let traffic = if shared.outage.is_felt(Utc::now()) {
        HashMap::new()
    } else {
        shared.edge.traffic().await.unwrap_or_default().unwrap_or_default()
    };
    for release in watched {
        if let Some(verdict) = release.watch.verdict(record(release, &traffic)) {
            shared.store.condemn(release, &verdict).await?;
        }
    }
    Ok(())
}

fn record(release: &WatchedRelease, traffic: &HashMap<InstanceId, Traffic>) -> Record {
    let counted = release.instances.iter().filter_map(|id| traffic.get(id));
    let start = Record {
        crashes: release.crashes,
        ..Record::default()
    };
    counted.fold(start, |sum, one| Record {
        answered: sum.answered + one.answered,
        failed: sum.failed + one.failed,
        ..sum
    })
}
