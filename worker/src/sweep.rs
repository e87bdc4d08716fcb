//! Removes what nobody needs: images of releases that are no longer kept, containers without a row, logs and build cache beyond
//! their bounds.

mod images;

use std::{collections::HashSet, sync::Arc, time::Duration};

use windlass_domain::{AppId, InstanceId};
use windlass_runtime::{Observed, Role, Scope};

use crate::{context::Shared, disk};

pub(crate) use self::images::images;

const PERIOD: Duration = Duration::from_secs(60);
/// What takes long is done in every so many periods.
const RARELY: u32 = 15;
/// Text of all deployment logs of an app.
const DEPLOYMENT_LOG_BYTES: u64 = 64 << 20;
/// Text of the run log of an app; its lines are bounded when they are written.
const RUN_LOG_BYTES: u64 = 16 << 20;
/// What is younger may belong to work that is just beginning.
const GRACE: chrono::Duration = chrono::Duration::seconds(120);

/// Runs until shutdown.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut clock = tokio::time::interval(PERIOD);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    disk::announce(&shared).await;
    let mut periods: u32 = 0;
    loop {
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            _ = clock.tick() => {}
        }
        if periods == 0 {
            report("repositories", repositories(&shared).await);
        }
        report("images", images(&shared).await);
        report("containers", containers(&shared).await);
        report("rows", rows(&shared).await);
        if periods % RARELY == 1 {
            report("images without a row", images::reconcile(&shared).await);
            report("apps without a row", apps(&shared).await);
            report("logs", logs(&shared).await);
        }
        disk::trim_cache(&shared);
        periods = periods.wrapping_add(1);
    }
}

fn report(what: &str, result: anyhow::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(
            what,
            error = format!("{error:#}"),
            "the sweep did not get through; trying again later"
        );
    }
}

/// A few long lines take as much room as many short ones.
async fn logs(shared: &Shared) -> anyhow::Result<()> {
    shared.store.bound_deployment_logs(DEPLOYMENT_LOG_BYTES).await?;
    shared.store.bound_run_logs(RUN_LOG_BYTES).await?;
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

/// All that is left of apps that no row knows: the database was restored to before they were made.
async fn apps(shared: &Shared) -> anyhow::Result<()> {
    // Rows are asked last: an app that is just being made has its row before anything else.
    let here = shared.runtime.apps().await?;
    for app in shared.store.unknown_apps(&here).await? {
        tracing::warn!(%app, "removing the containers, the network and the images of an app that no row knows");
        if let Err(error) = shared.runtime.remove_app(app).await {
            tracing::warn!(%app, %error, "what is left of an app cannot be removed");
        }
    }
    Ok(())
}

/// Repositories of such apps are only named: they may be the only copy of somebody's work, and need no more than room on the disk.
async fn repositories(shared: &Shared) -> anyhow::Result<()> {
    let here = shared.repositories.apps().await?;
    for app in shared.store.unknown_apps(&here).await? {
        tracing::warn!(%app, "no app of the database has this repository; delete the folder repositories/APP.git of the data directory if nobody needs it");
    }
    Ok(())
}

/// Containers of ours that no row knows: a killed worker made them and never came to say so, or the database was restored to before
/// they were made.
async fn containers(shared: &Shared) -> anyhow::Result<()> {
    let seen = shared.runtime.observe(Scope::All).await?;
    let known: HashSet<InstanceId> = shared
        .store
        .live_instances()
        .await?
        .into_iter()
        .map(|(row, _)| row.id)
        .collect();
    let apps: Vec<AppId> = seen.iter().map(|seen| seen.app).collect();
    let gone = shared.store.unknown_apps(&apps).await?;
    let young = chrono::Utc::now() - GRACE;
    for old in seen.iter().filter(|seen| seen.created_at.is_none_or(|at| at < young)) {
        match old.role {
            Role::Instance if gone.contains(&old.app) => remove(shared, old).await,
            // Its log may have to be read to the end first, and it has the time that it gets to end.
            Role::Instance if !known.contains(&old.instance) => shared.converger.wake(old.app),
            Role::Release if !is_at_work(shared, old).await? => remove(shared, old).await,
            Role::Instance | Role::Release => {}
        }
    }
    Ok(())
}

/// Whether the deployment of a release command is not over.
async fn is_at_work(shared: &Shared, command: &Observed) -> anyhow::Result<bool> {
    let open = shared.store.open_deployments(command.app).await?;
    Ok(command.deployment.is_some_and(|deployment| open.contains(&deployment)))
}

/// One that Docker cannot remove must not keep the others.
async fn remove(shared: &Shared, orphan: &Observed) {
    tracing::warn!(container = %orphan.container, name = %orphan.name, "removing a container that no row knows");
    if let Err(error) = shared.runtime.remove(&orphan.container).await {
        tracing::warn!(container = %orphan.container, %error, "a container cannot be removed");
    }
}
