//! How instances go: drained before they are stopped, and no sooner than others can do their work.
//!
//! What belongs to no release that is wanted goes at once, with one exception. Instances of a candidate that takes over a few at a
//! time serve already, in place of old ones that have gone. If the candidate then fails or is withdrawn, those that serve well go on
//! serving until the live release has got its old ones back:
//!
//! - They are web instances that were admitted, are healthy and run. What itself failed is not kept.
//! - No more are kept than the live release (with what was admitted of a next candidate) lacks of its number; the newest go first.
//! - They are not kept when the live release has instances that serve, and crashes hold up those that it lacks. It may lack the room
//!   that the kept ones take, and two releases are not to answer side by side for ever. While nothing else serves, they stay: a release
//!   that failed is better than none.
//! - They are not kept when the next candidate may only start on an empty place (`recreate`).

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};
use windlass_domain::{InstanceId, InstanceState, ProcessType, ReleaseId, Strategy};

use crate::{
    Container, Desired, Instance, Observed, Plan, Step, WantedProcess,
    plan::{backed_off, counts},
};

/// Instances of releases (or process types) that nobody wants any more.
pub(crate) fn retire_unwanted_releases(plan: &mut Plan, desired: &Desired, observed: &Observed, now: DateTime<Utc>) {
    let kept = kept(desired, observed, now);
    let drain_within = desired
        .live
        .as_ref()
        .map_or(Duration::seconds(30), |live| live.drain_within);
    for instance in observed.instances.iter().filter(|i| !is_wanted(desired, i)) {
        match instance.state {
            InstanceState::Draining => finish_draining(plan, drain_within, instance, now),
            _ if kept.contains(&instance.id) => {}
            // One that has ended, too: it may still be in the routes.
            _ => plan.steps.push(let_go(instance)),
        }
    }
}

fn is_wanted(desired: &Desired, instance: &Instance) -> bool {
    desired
        .live
        .iter()
        .chain(&desired.candidate)
        .any(|wanted| wanted.release == instance.release && wanted.processes.contains_key(&instance.process))
}

/// Who is wanted no longer, and serves until the live release can.
fn kept(desired: &Desired, observed: &Observed, now: DateTime<Utc>) -> BTreeSet<InstanceId> {
    let web = ProcessType::web();
    let Some(live) = &desired.live else {
        return BTreeSet::new();
    };
    let Some(want) = live.processes.get(&web) else {
        return BTreeSet::new();
    };
    let needs_an_empty_place = desired.candidate.is_some() && desired.strategy == Strategy::Recreate;
    let own = healthy(observed, live.release, *want).count();
    let is_stuck = own > 0 && backed_off(observed, live.release, (&web, *want), now).is_some();
    if needs_an_empty_place || is_stuck {
        return BTreeSet::new();
    }
    let lacking = (want.quantity as usize).saturating_sub(own + of_candidate(desired, observed));
    let mut serving: Vec<_> = observed
        .instances
        .iter()
        .filter(|i| i.admitted && i.process == web && !is_wanted(desired, i) && is_healthy(i))
        .collect();
    serving.sort_by_key(|i| (i.n, i.id));
    serving.iter().take(lacking).map(|i| i.id).collect()
}

/// How many instances of a candidate serve already.
fn of_candidate(desired: &Desired, observed: &Observed) -> usize {
    let web = ProcessType::web();
    let want = |candidate: &crate::Wanted| candidate.processes.get(&web).map(|want| (candidate.release, *want));
    let candidate = desired.candidate.as_ref().and_then(want);
    candidate.map_or(0, |(release, want)| {
        healthy(observed, release, want).filter(|i| i.admitted).count()
    })
}

/// The web instances of a release that count and are healthy.
fn healthy(observed: &Observed, release: ReleaseId, want: WantedProcess) -> impl Iterator<Item = &Instance> {
    observed
        .instances
        .iter()
        .filter(move |i| i.release == release && i.process.is_web() && counts(i, want) && is_healthy(i))
}

fn is_healthy(instance: &Instance) -> bool {
    instance.state == InstanceState::Healthy && instance.container == Container::Running
}

/// An instance that drains is stopped when it is idle, or when its time is over.
pub(crate) fn finish_draining(plan: &mut Plan, drain_within: Duration, instance: &Instance, now: DateTime<Utc>) {
    let deadline = instance.draining_at.unwrap_or(now) + drain_within;
    let idle = instance.in_flight == Some(0);
    if idle || now >= deadline || instance.container != Container::Running {
        plan.steps.push(Step::Stop(instance.id));
    } else {
        plan.look_again(deadline.min(now + Duration::milliseconds(200)));
    }
}

/// An instance that is no longer wanted: with requests it is drained first.
pub(crate) fn let_go(instance: &Instance) -> Step {
    let may_have_requests = instance.process.is_web() && instance.state != InstanceState::Starting;
    if may_have_requests {
        Step::Drain(instance.id)
    } else {
        Step::Stop(instance.id)
    }
}
