//! Brings each app's instances to what the rows want: the only loop that touches containers of instances.
//!
//! One task for an app at a time; woken by rows, by the runtime's events and by the clock. What to do is decided by
//! `windlass_converge::plan`; this module looks, asks and acts.

pub(crate) mod container;
mod delete;
mod departure;
mod failed_start;
mod glance;
mod health;
mod look;
mod probes;
mod queue;
mod steps;
mod stopping;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};
use windlass_converge::{Plan, Step};
use windlass_domain::{AppId, InstanceState};
use windlass_store::AppWork;

pub(crate) use queue::Converger;

use crate::context::Shared;

/// How often it is seen at a glance who wants a look, when nothing happens.
const GLANCE: Duration = Duration::from_secs(5);
/// How often every app is looked at all the same.
const RESYNC: Duration = Duration::from_secs(20);
/// Only the holder of an app's lease changes its containers.
const APP_LEASE: Duration = Duration::from_secs(8);
/// What was seen this long ago may be decided by once more.
const FRESH: Duration = Duration::from_millis(500);
/// After so many rounds in a row the task gives others a turn.
const ROUNDS: u32 = 200;

/// Apps that are looked at side by side when the worker starts.
const FIRST_AT_ONCE: usize = 8;

/// One look at every app, before anything else is begun: what a crash, a reboot or a restored database left is put right first.
pub(crate) async fn first_look(shared: &Arc<Shared>) {
    let apps = match shared.store.apps_to_converge().await {
        Ok(apps) => apps,
        Err(error) => {
            return tracing::warn!(error = %error, "cannot list the apps to look after; the converge loop tries again");
        }
    };
    stream::iter(apps)
        .for_each_concurrent(FIRST_AT_ONCE, |app| async move {
            if let Err(error) = round(shared, app).await {
                tracing::warn!(%app, error = format!("{error:#}"), "cannot look after an app yet");
            }
        })
        .await;
}

/// Runs until shutdown.
pub(crate) async fn run(shared: Arc<Shared>) {
    let (mut glance, mut clock) = (tokio::time::interval(GLANCE), tokio::time::interval(RESYNC));
    glance.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            _ = clock.tick() => shared.converger.wake_all(),
            _ = glance.tick() => {
                let own = shared.clone();
                shared.tasks.spawn(async move { wake_suspects(&own).await });
            }
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
    publish(shared).await;
}

async fn wake_suspects(shared: &Arc<Shared>) {
    match glance::suspects(shared).await {
        Ok(apps) => apps.into_iter().for_each(|app| shared.converger.wake(app)),
        Err(error) => tracing::debug!(error = format!("{error:#}"), "cannot see who wants a look"),
    }
    publish(shared).await;
}

async fn publish(shared: &Shared) {
    match shared.routes.publish().await {
        Ok(exceptions) => {
            for exception in exceptions {
                tracing::warn!(app = %exception.app, instance = %exception.instance, "{exception}");
            }
        }
        Err(error) => tracing::warn!(error = format!("{error:#}"), "the route table could not be handed over"),
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
        let done = tokio::select! {
            done = round(shared, app) => done?,
            never = keep_lease(shared, app) => match never {},
        };
        if let Round::Settled(again) = done {
            return Ok(again);
        }
    }
    Ok(Some(Duration::ZERO))
}

/// Renews the app's lease while a round goes on: a slow Docker is no reason for another worker to step in. A worker that stood
/// still until its lease ran out does not take it again for what it decided before.
async fn keep_lease(shared: &Shared, app: AppId) -> std::convert::Infallible {
    let mut held_since = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(APP_LEASE / 4).await;
        let asked = tokio::time::Instant::now();
        if asked - held_since >= APP_LEASE {
            return std::future::pending().await;
        }
        match shared.store.lease_app(app, shared.id, APP_LEASE).await {
            Ok(true) => held_since = asked,
            Ok(false) => return std::future::pending().await,
            Err(error) => tracing::debug!(%app, error = %error, "cannot renew the lease of an app"),
        }
    }
}

/// How far one look at an app brought it.
enum Round {
    /// Something was done: there may be more to do.
    Moved,
    /// There is nothing to do; look again after this time even if nothing happens.
    Settled(Option<Duration>),
}

async fn round(shared: &Arc<Shared>, app: AppId) -> anyhow::Result<Round> {
    if !shared.store.lease_app(app, shared.id, APP_LEASE).await? {
        keep_probes(shared, app, None);
        // Another worker has it, or it is gone.
        let is_there = shared.store.unknown_apps(&[app]).await?.is_empty();
        return Ok(Round::Settled(is_there.then_some(Duration::from_secs(1))));
    }
    let work = shared.store.app_work(app).await?;
    keep_probes(shared, app, work.as_ref());
    let Some(mut work) = work else {
        return Ok(Round::Settled(None));
    };
    if work.app.deleting {
        return delete::run(shared, &work).await.map(Round::Settled);
    }
    let looked = tokio::time::Instant::now();
    let seen = look::at(shared, &work).await?;
    if let Some(step) = work.departing
        && look::has_departed(&work, step, |id| shared.converger.is_stopping(id))
    {
        shared.store.departed(shared.id, app, step).await?;
        return Ok(Round::Moved);
    }
    let now = work.clock.now();
    let plan = plan(shared, &work, &seen, now);
    if plan.steps.is_empty() {
        let again = plan.again_at.map(|at| (at - now).to_std().unwrap_or_default());
        return Ok(Round::Settled(again.map(|wait| wait.max(Duration::from_millis(5)))));
    }
    let only_probed = plan.steps.iter().all(|step| matches!(step, Step::Probe(_)));
    let healthy = steps::perform(shared, &work, &seen, plan.steps).await?;
    if only_probed && looked.elapsed() < FRESH {
        let rows = work.instances.iter_mut().filter(|row| healthy.contains(&row.id));
        rows.for_each(|row| row.state = InstanceState::Healthy);
        route_healthy(shared, &work, &seen).await?;
    }
    Ok(Round::Moved)
}

/// Only instances that start are probed, and only by who looks after their app.
fn keep_probes(shared: &Shared, app: AppId, work: Option<&AppWork>) {
    let work = work.filter(|work| !work.app.deleting);
    shared.converger.probes.retain(app, |instance| {
        let mut rows = work.iter().flat_map(|work| &work.instances);
        rows.any(|row| row.id == instance && row.state == InstanceState::Starting)
    });
}

/// Lets those have requests that were just found healthy. Nothing else has been done since the look, and their containers have
/// answered: to read and to look at everything once more before would only keep a new release from its users. Should the rows have
/// changed meanwhile, they refuse.
async fn route_healthy(shared: &Arc<Shared>, work: &AppWork, seen: &look::Look) -> anyhow::Result<()> {
    let mut steps = plan(shared, work, seen, work.clock.now()).steps;
    steps.retain(|step| matches!(step, Step::Admit(_) | Step::Promote(_)));
    steps::perform(shared, work, seen, steps).await?;
    Ok(())
}

fn plan(shared: &Shared, work: &AppWork, seen: &look::Look, now: DateTime<Utc>) -> Plan {
    let mut plan = windlass_converge::plan(&look::desired(work), &seen.observed(work, &shared.outage), now);
    let is_under_way =
        |step: &Step| matches!(step, Step::Stop(id) | Step::Replace(id) if shared.converger.is_stopping(*id));
    plan.steps.retain(|step| !is_under_way(step));
    plan
}
