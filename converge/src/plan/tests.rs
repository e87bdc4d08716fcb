//! What is decided, case by case, and what is never decided, whatever the case.

mod changeover;
mod instances;
mod retire;
mod whatever;

use windlass_domain::Strategy;

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn wanted(release: ReleaseId, quantity: u32) -> Wanted {
    Wanted {
        release,
        processes: BTreeMap::from([(
            ProcessType::web(),
            WantedProcess {
                quantity,
                restart_seq: 0,
                ready_within: Duration::seconds(60),
            },
        )]),
        drain_within: Duration::seconds(30),
    }
}

fn instance(release: ReleaseId, n: u32, state: InstanceState) -> Instance {
    Instance {
        id: InstanceId::generate(),
        release,
        process: ProcessType::web(),
        n,
        restart_seq: 0,
        state,
        container: Container::Running,
        created_at: at(0),
        healthy_at: (state != InstanceState::Starting).then(|| at(0)),
        draining_at: (state == InstanceState::Draining).then(|| at(0)),
        admitted: false,
        in_flight: Some(1),
    }
}

fn seen(instances: Vec<Instance>) -> Observed {
    Observed {
        instances,
        crashes: Vec::new(),
    }
}

/// Ended then, after a moment that proved nothing.
fn crash(release: ReleaseId, at: DateTime<Utc>) -> Crash {
    Crash {
        release,
        process: ProcessType::web(),
        restart_seq: 0,
        at,
        ran: Duration::seconds(1),
        healthy_for: Duration::zero(),
    }
}

fn start(release: ReleaseId, n: u32) -> Step {
    Step::Start {
        release,
        process: ProcessType::web(),
        n,
        restart_seq: 0,
    }
}

fn changeover(strategy: Strategy, quantity: u32) -> (ReleaseId, ReleaseId, Desired) {
    let (old, new) = (ReleaseId::generate(), ReleaseId::generate());
    let desired = Desired {
        live: Some(wanted(old, quantity)),
        candidate: Some(wanted(new, quantity)),
        strategy,
    };
    (old, new, desired)
}

fn healthy(release: ReleaseId, numbers: std::ops::RangeInclusive<u32>) -> Vec<Instance> {
    numbers.map(|n| instance(release, n, InstanceState::Healthy)).collect()
}
