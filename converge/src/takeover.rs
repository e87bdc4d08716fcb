//! How many instances of the old and of the new release there shall be while one takes the place of the other.

use windlass_domain::{InstanceState, ProcessType, ReleaseId, Strategy};

use crate::{
    Desired, Observed, Step, Wanted, WantedProcess,
    plan::{counts, of_process},
};

/// What is wanted at this moment of the takeover.
pub(crate) struct Targets {
    pub(crate) live: Option<Wanted>,
    pub(crate) candidate: Option<Wanted>,
}

/// The wanted numbers of both releases, as the strategy has them at this moment.
pub(crate) fn targets(desired: &Desired, observed: &Observed) -> Targets {
    let (live, candidate) = (desired.live.clone(), desired.candidate.clone());
    match (live, candidate) {
        (Some(live), Some(candidate)) => match desired.strategy {
            Strategy::BlueGreen => Targets {
                live: Some(live),
                candidate: Some(candidate),
            },
            Strategy::Recreate => recreate(live, candidate, observed),
            Strategy::Rolling => rolling(live, candidate, observed),
        },
        (live, candidate) => Targets { live, candidate },
    }
}

/// The new release starts when nothing of any other is left.
fn recreate(mut live: Wanted, candidate: Wanted, observed: &Observed) -> Targets {
    for want in live.processes.values_mut() {
        want.quantity = 0;
    }
    let old_is_gone = observed
        .instances
        .iter()
        .all(|instance| instance.release == candidate.release);
    Targets {
        live: Some(live),
        candidate: old_is_gone.then_some(candidate),
    }
}

/// The new release gets as many instances as have taken over already and a few more; the old one keeps what the new one lacks.
fn rolling(mut live: Wanted, mut candidate: Wanted, observed: &Observed) -> Targets {
    let release = candidate.release;
    for (process, new) in &mut candidate.processes {
        let done = taken_over(observed, release, (process, *new));
        if let Some(old) = live.processes.get_mut(process).filter(|_| rolls(*new)) {
            old.quantity = old.quantity.min(new.quantity.saturating_sub(done));
        }
        new.quantity = new.quantity.min(done + Strategy::Rolling.surge(new.quantity));
    }
    Targets {
        live: Some(live),
        candidate: Some(candidate),
    }
}

/// A single instance is replaced at one stroke: nothing of a release that may still fail needs to get requests.
const fn rolls(want: WantedProcess) -> bool {
    want.quantity > 1
}

/// How many instances of the new release do the work of old ones.
fn taken_over(observed: &Observed, release: ReleaseId, (process, want): (&ProcessType, WantedProcess)) -> u32 {
    let done = of_process(observed, release, process)
        .filter(|i| counts(i, want) && i.state == InstanceState::Healthy && (i.admitted || !process.is_web()))
        .count();
    u32::try_from(done).unwrap_or(u32::MAX)
}

/// Healthy instances of a candidate that shall have requests now.
pub(crate) fn admissions(desired: &Desired, observed: &Observed) -> Vec<Step> {
    let (Some(_), Some(candidate), Strategy::Rolling) = (&desired.live, &desired.candidate, desired.strategy) else {
        return Vec::new();
    };
    let web = ProcessType::web();
    let Some(want) = candidate.processes.get(&web).filter(|want| rolls(**want)) else {
        return Vec::new();
    };
    of_process(observed, candidate.release, &web)
        .filter(|i| counts(i, *want) && i.state == InstanceState::Healthy && !i.admitted)
        .map(|i| Step::Admit(i.id))
        .collect()
}
