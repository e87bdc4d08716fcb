//! Brings each app's instances to what the rows want: the only loop that touches containers of instances.
//!
//! One task for an app at a time; woken by rows, by the runtime's events and by the clock. What to do is decided by
//! `windlass_converge::plan`; this module looks, asks and acts.

pub(crate) mod container;
mod delete;
mod health;
mod look;
mod queue;
mod steps;

use std::{sync::Arc, time::Duration};

use windlass_converge::Step;
use windlass_domain::AppId;

pub(crate) use queue::Converger;

use crate::context::Shared;

/// How often every app is looked at when nothing happens.
const RESYNC: Duration = Duration::from_secs(5);
/// Only the holder of an app's lease changes its containers.
const APP_LEASE: Duration = Duration::from_secs(10);
/// After so many rounds in a row the task gives others a turn.
const ROUNDS: u32 = 200;

/// Runs until shutdown.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut clock = tokio::time::interval(RESYNC);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            _ = clock.tick() => shared.converger.wake_all(),
            () = shared.converger.all_wanted() => {
                let own = shared.clone();
                shared.tasks.spawn(async move { wake_every_app(&own).await });
            }
            app = shared.converger.next() => spawn(&shared, app),
        }
    }
}

async fn wake_every_app(shared: &Arc<Shared>) {
    match shared.store.apps_to_converge().await {
        Ok(apps) => apps.into_iter().for_each(|app| shared.converger.wake(app)),
        Err(error) => tracing::warn!(error = %error, "cannot list the apps to look after"),
    }
    if let Err(error) = shared.routes.verify().await {
        tracing::warn!(error = format!("{error:#}"), "the route table could not be handed over");
    }
}

fn spawn(shared: &Arc<Shared>, app: AppId) {
    let own = shared.clone();
    shared.tasks.spawn(async move {
        // Should the look panic, the app still comes again.
        let mut look = Look {
            shared: &own,
            app,
            again: Some(Duration::from_secs(10)),
        };
        look.again = match reconcile(&own, app).await {
            Ok(again) => again,
            Err(error) => {
                tracing::warn!(%app, error = format!("{error:#}"), "cannot look after an app; trying again");
                Some(Duration::from_secs(1))
            }
        };
        if let Err(error) = own.store.unlease_app(app, own.id).await {
            tracing::debug!(%app, error = %error, "the app's lease runs out by itself");
        }
    });
}

/// One look at an app; however it ends, the app may be looked at again.
struct Look<'a> {
    shared: &'a Shared,
    app: AppId,
    again: Option<Duration>,
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.shared.converger.done(self.app, self.again);
    }
}

/// Brings one app as far as it gets now. Returns when to look again even if nothing happens.
async fn reconcile(shared: &Arc<Shared>, app: AppId) -> anyhow::Result<Option<Duration>> {
    for _ in 0..ROUNDS {
        if shared.shutdown.is_cancelled() {
            break;
        }
        if !shared.store.lease_app(app, shared.id, APP_LEASE).await? {
            return Ok(Some(Duration::from_secs(1)));
        }
        let Some(work) = shared.store.app_work(app).await? else {
            return Ok(None);
        };
        if work.app.deleting {
            return delete::run(shared, &work).await;
        }
        let seen = look::at(shared, &work).await?;
        let mut plan = windlass_converge::plan(&look::desired(&work), &seen.observed, chrono::Utc::now());
        plan.steps
            .retain(|step| !matches!(step, Step::Stop(id) if shared.converger.is_stopping(*id)));
        if plan.steps.is_empty() {
            let again = plan
                .again_at
                .map(|at| (at - chrono::Utc::now()).to_std().unwrap_or_default());
            return Ok(again.map(|wait| wait.max(Duration::from_millis(5))));
        }
        steps::perform(shared, &work, &seen, plan.steps).await?;
    }
    Ok(Some(Duration::ZERO))
}
