//! The decision.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use windlass_domain::{InstanceId, InstanceState, ProcessType, ReleaseId, Strategy};

use crate::{
    Container, Crash, Instance, Observed,
    backoff::{self, Pause},
    retire::{finish_draining, let_go, retire_unwanted_releases},
    takeover,
};

/// What is wanted of one app.
#[derive(Debug, Clone, Default)]
pub struct Desired {
    /// The release that serves.
    pub live: Option<Wanted>,
    /// The release that a deployment is making live; none as soon as it has failed.
    pub candidate: Option<Wanted>,
    /// How the candidate takes the place of the live release.
    pub strategy: Strategy,
}

/// What is wanted of one release.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The release.
    pub release: ReleaseId,
    /// Its process types.
    pub processes: BTreeMap<ProcessType, WantedProcess>,
    /// How long a drained instance may go on with its requests.
    pub drain_within: Duration,
}

/// How many instances of a process type are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedProcess {
    /// How many.
    pub quantity: u32,
    /// Instances of an older generation are replaced.
    pub restart_seq: i32,
    /// How long a new instance may take to become healthy.
    pub ready_within: Duration,
}

impl Wanted {
    fn ready_within(&self, process: &ProcessType) -> Duration {
        let longest = || self.processes.values().map(|want| want.ready_within).max();
        let own = self.processes.get(process).map(|want| want.ready_within);
        own.or_else(longest).unwrap_or_else(|| Duration::seconds(60))
    }
}

/// Why a candidate cannot become live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its instance ended.
    Ended,
    /// Its instance did not become healthy in time.
    NeverHealthy,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make and start a new instance.
    Start {
        /// Of this release.
        release: ReleaseId,
        /// Of this process type.
        process: ProcessType,
        /// With this number.
        n: u32,
        /// In this restart generation.
        restart_seq: i32,
    },
    /// See whether a starting instance is healthy.
    Probe(InstanceId),
    /// The candidate cannot become live: diagnose this instance and say so.
    FailCandidate {
        /// The candidate.
        release: ReleaseId,
        /// The instance that shows it.
        instance: InstanceId,
        /// What it shows.
        fault: Fault,
    },
    /// Let an instance of the candidate have requests, though its release is not live yet.
    Admit(InstanceId),
    /// All instances of the candidate are healthy: it is the live release now.
    Promote(ReleaseId),
    /// An instance ended that should have gone on (or never became healthy, or is so no longer): record it and remove its container.
    Replace(InstanceId),
    /// Take an instance out of the routes; it finishes what it has.
    Drain(InstanceId),
    /// Stop an instance and remove its container.
    Stop(InstanceId),
}

/// What to do now, and when to look again even if nothing happens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps; their order is that of the list, but all may be done at once.
    pub steps: Vec<Step>,
    /// When time alone will change the answer.
    pub again_at: Option<DateTime<Utc>>,
}

impl Plan {
    pub(crate) fn look_again(&mut self, at: DateTime<Utc>) {
        self.again_at = Some(self.again_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// Decides the next steps of one app.
pub fn plan(desired: &Desired, observed: &Observed, now: DateTime<Utc>) -> Plan {
    let mut plan = Plan::default();
    if let Some(fault) = desired
        .candidate
        .as_ref()
        .and_then(|candidate| candidate_fault(candidate, observed, now))
    {
        // Nothing else matters until the failure is recorded: the instance must stay as it is for the diagnosis.
        plan.steps.push(fault);
        return plan;
    }
    if let Some(candidate) = &desired.candidate
        && is_ready(candidate, observed)
    {
        // The last of the old instances stay until the switch is made: they are drained in the next round.
        converge_release(&mut plan, candidate, observed, now);
        retire_unwanted_releases(&mut plan, desired, observed, now);
        plan.steps.push(Step::Promote(candidate.release));
        return plan;
    }
    let now_wanted = takeover::targets(desired, observed);
    for wanted in now_wanted.live.iter().chain(&now_wanted.candidate) {
        converge_release(&mut plan, wanted, observed, now);
    }
    plan.steps.extend(takeover::admissions(desired, observed));
    retire_unwanted_releases(&mut plan, desired, observed, now);
    plan
}

fn converge_release(plan: &mut Plan, wanted: &Wanted, observed: &Observed, now: DateTime<Utc>) {
    for (process, want) in &wanted.processes {
        converge_process(plan, wanted, (process, *want), observed, now);
    }
}

pub(crate) fn of_process<'a>(
    observed: &'a Observed,
    release: ReleaseId,
    process: &'a ProcessType,
) -> impl Iterator<Item = &'a Instance> {
    observed
        .instances
        .iter()
        .filter(move |i| i.release == release && i.process == *process)
}

/// An instance that counts toward the wanted number: of the right generation, not on its way out.
pub(crate) fn counts(instance: &Instance, want: WantedProcess) -> bool {
    instance.restart_seq == want.restart_seq
        && instance.container == Container::Running
        && matches!(instance.state, InstanceState::Starting | InstanceState::Healthy)
}

fn is_ready(wanted: &Wanted, observed: &Observed) -> bool {
    wanted.processes.iter().all(|(process, want)| {
        let healthy = of_process(observed, wanted.release, process)
            .filter(|i| counts(i, *want) && i.state == InstanceState::Healthy)
            .count();
        healthy >= want.quantity as usize
    })
}

fn candidate_fault(candidate: &Wanted, observed: &Observed, now: DateTime<Utc>) -> Option<Step> {
    observed
        .instances
        .iter()
        .filter(|i| i.release == candidate.release)
        .find_map(|instance| {
            Some(Step::FailCandidate {
                release: candidate.release,
                instance: instance.id,
                fault: fault(instance, candidate.ready_within(&instance.process), now)?,
            })
        })
}

/// What is wrong with an instance that should go on, if that is its own doing.
fn fault(instance: &Instance, ready_within: Duration, now: DateTime<Utc>) -> Option<Fault> {
    let is_late = instance.state == InstanceState::Starting && now >= instance.created_at + ready_within;
    match (instance.state, instance.container) {
        (InstanceState::Draining, _) | (_, Container::Missing) => None,
        (_, Container::Ended) => Some(Fault::Ended),
        (InstanceState::Unhealthy, Container::Running) => Some(Fault::NeverHealthy),
        (_, Container::Running) => is_late.then_some(Fault::NeverHealthy),
    }
}

/// Brings one process type of a wanted release to its number.
fn converge_process(
    plan: &mut Plan,
    wanted: &Wanted,
    (process, want): (&ProcessType, WantedProcess),
    observed: &Observed,
    now: DateTime<Utc>,
) {
    for instance in of_process(observed, wanted.release, process) {
        attend(plan, wanted, instance, now);
    }
    let mut present: Vec<_> = of_process(observed, wanted.release, process)
        .filter(|i| counts(i, want))
        .collect();
    // What is not healthy goes first, then the newest.
    present.sort_by_key(|i| (i.state != InstanceState::Healthy, i.n));
    let quantity = want.quantity as usize;
    for surplus in present.iter().skip(quantity) {
        plan.steps.push(let_go(surplus));
    }
    start_missing(plan, wanted.release, (process, want), observed, now);
    let healthy = present
        .iter()
        .take(quantity)
        .filter(|i| i.state == InstanceState::Healthy)
        .count();
    if healthy >= quantity {
        let old = of_process(observed, wanted.release, process).filter(|i| {
            i.restart_seq != want.restart_seq && i.container == Container::Running && i.state != InstanceState::Draining
        });
        plan.steps.extend(old.map(let_go));
    }
}

/// What one instance needs, whatever the number of its siblings.
fn attend(plan: &mut Plan, wanted: &Wanted, instance: &Instance, now: DateTime<Utc>) {
    match (instance.state, instance.container) {
        (InstanceState::Draining, _) => finish_draining(plan, wanted.drain_within, instance, now),
        (_, Container::Ended | Container::Missing) | (InstanceState::Unhealthy, _) => {
            plan.steps.push(Step::Replace(instance.id));
        }
        (InstanceState::Starting, Container::Running) => {
            let deadline = instance.created_at + wanted.ready_within(&instance.process);
            if now >= deadline {
                plan.steps.push(Step::Replace(instance.id));
            } else {
                plan.steps.push(Step::Probe(instance.id));
                plan.look_again(deadline);
            }
        }
        _ => {}
    }
}

fn start_missing(
    plan: &mut Plan,
    release: ReleaseId,
    (process, want): (&ProcessType, WantedProcess),
    observed: &Observed,
    now: DateTime<Utc>,
) {
    let mut missing = missing(observed, release, (process, want));
    if let Some(pause) = backed_off(observed, release, (process, want), now) {
        plan.look_again(pause.until);
        missing = missing.saturating_sub(pause.places);
    }
    let taken: Vec<u32> = of_process(observed, release, process).map(|i| i.n).collect();
    let free = (1..).filter(|n| !taken.contains(n)).take(missing);
    plan.steps.extend(free.map(|n| Step::Start {
        release,
        process: process.clone(),
        n,
        restart_seq: want.restart_seq,
    }));
}

fn missing(observed: &Observed, release: ReleaseId, (process, want): (&ProcessType, WantedProcess)) -> usize {
    let present = of_process(observed, release, process)
        .filter(|i| counts(i, want))
        .count();
    (want.quantity as usize).saturating_sub(present)
}

/// What of a process type may not be started yet, if its crashes hold it up. One that is about to be replaced for what it did itself is
/// a crash already. A restart that was asked for forgets those before it.
pub(crate) fn backed_off(
    observed: &Observed,
    release: ReleaseId,
    (process, want): (&ProcessType, WantedProcess),
    now: DateTime<Utc>,
) -> Option<Pause> {
    let of_it = |crash: &&Crash| crash.release == release && crash.process == *process;
    let ending = of_process(observed, release, process).filter(|i| fault(i, want.ready_within, now).is_some());
    let recorded = observed.crashes.iter().filter(of_it).cloned();
    let crashes: Vec<_> = recorded
        .chain(ending.map(|i| i.crash(now)))
        .filter(|crash| crash.restart_seq == want.restart_seq)
        .collect();
    backoff::pause(
        &crashes,
        want.quantity,
        missing(observed, release, (process, want)),
        now,
    )
}

#[cfg(test)]
mod tests;
