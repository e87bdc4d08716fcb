//! What is decided, case by case, and what is never decided, whatever the case.

use proptest::{prelude::*, strategy::Strategy as _};
use windlass_domain::Strategy;

use super::*;
use crate::Crash;

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

fn start(release: ReleaseId, n: u32) -> Step {
    Step::Start {
        release,
        process: ProcessType::web(),
        n,
        restart_seq: 0,
    }
}

#[test]
fn missing_instances_are_started_with_the_lowest_free_numbers() {
    let release = ReleaseId::generate();
    let observed = seen(vec![instance(release, 2, InstanceState::Healthy)]);
    let desired = Desired {
        live: Some(wanted(release, 3)),
        candidate: None,
        strategy: Strategy::Rolling,
    };
    assert_eq!(
        plan(&desired, &observed, at(1)).steps,
        [start(release, 1), start(release, 3)]
    );
}

#[test]
fn what_is_as_wanted_needs_nothing() {
    let release = ReleaseId::generate();
    let observed = seen(vec![instance(release, 1, InstanceState::Healthy)]);
    let desired = Desired {
        live: Some(wanted(release, 1)),
        candidate: None,
        strategy: Strategy::Rolling,
    };
    assert_eq!(plan(&desired, &observed, at(1)), Plan::default());
}

#[test]
fn the_old_release_stays_untouched_until_the_new_one_is_healthy() {
    let (old, new) = (ReleaseId::generate(), ReleaseId::generate());
    let starting = instance(new, 1, InstanceState::Starting);
    let probe = Step::Probe(starting.id);
    let observed = seen(vec![instance(old, 1, InstanceState::Healthy), starting]);
    let desired = Desired {
        live: Some(wanted(old, 1)),
        candidate: Some(wanted(new, 1)),
        strategy: Strategy::Rolling,
    };
    assert_eq!(plan(&desired, &observed, at(1)).steps, [probe]);
}

#[test]
fn a_healthy_candidate_is_promoted_and_only_then_the_old_one_drained() {
    let (old, new) = (ReleaseId::generate(), ReleaseId::generate());
    let old_instance = instance(old, 1, InstanceState::Healthy);
    let drain = Step::Drain(old_instance.id);
    let observed = seen(vec![old_instance, instance(new, 1, InstanceState::Healthy)]);
    let before = Desired {
        live: Some(wanted(old, 1)),
        candidate: Some(wanted(new, 1)),
        strategy: Strategy::Rolling,
    };
    assert_eq!(plan(&before, &observed, at(1)).steps, [Step::Promote(new)]);
    let after = Desired {
        live: Some(wanted(new, 1)),
        candidate: None,
        strategy: Strategy::Rolling,
    };
    assert_eq!(plan(&after, &observed, at(1)).steps, [drain]);
}

#[test]
fn a_candidate_that_ends_or_is_late_fails_and_nothing_else_happens() {
    let new = ReleaseId::generate();
    let desired = Desired {
        live: None,
        candidate: Some(wanted(new, 1)),
        strategy: Strategy::Rolling,
    };
    let mut ended = instance(new, 1, InstanceState::Starting);
    ended.container = Container::Ended;
    let step = Step::FailCandidate {
        release: new,
        instance: ended.id,
        fault: Fault::Ended,
    };
    assert_eq!(plan(&desired, &seen(vec![ended]), at(1)).steps, [step]);
    let late = instance(new, 1, InstanceState::Starting);
    let step = Step::FailCandidate {
        release: new,
        instance: late.id,
        fault: Fault::NeverHealthy,
    };
    assert_eq!(plan(&desired, &seen(vec![late]), at(60)).steps, [step]);
}

#[test]
fn instances_of_a_failed_candidate_are_stopped() {
    let (old, new) = (ReleaseId::generate(), ReleaseId::generate());
    let leftover = instance(new, 1, InstanceState::Starting);
    let stop = Step::Stop(leftover.id);
    let observed = seen(vec![instance(old, 1, InstanceState::Healthy), leftover]);
    let desired = Desired {
        live: Some(wanted(old, 1)),
        candidate: None,
        strategy: Strategy::Rolling,
    };
    assert_eq!(plan(&desired, &observed, at(1)).steps, [stop]);
}

#[test]
fn a_draining_instance_is_stopped_when_idle_or_at_its_deadline() {
    let release = ReleaseId::generate();
    let desired = Desired {
        live: Some(wanted(release, 0)),
        candidate: None,
        strategy: Strategy::Rolling,
    };
    let mut draining = instance(release, 1, InstanceState::Draining);
    let busy = plan(&desired, &seen(vec![draining.clone()]), at(5));
    assert_eq!(busy.steps, []);
    assert!(busy.again_at.is_some());
    assert_eq!(
        plan(&desired, &seen(vec![draining.clone()]), at(30)).steps,
        [Step::Stop(draining.id)]
    );
    draining.in_flight = Some(0);
    assert_eq!(
        plan(&desired, &seen(vec![draining.clone()]), at(5)).steps,
        [Step::Stop(draining.id)]
    );
}

#[test]
fn a_vanished_or_ended_instance_is_replaced_after_its_back_off() {
    let release = ReleaseId::generate();
    let desired = Desired {
        live: Some(wanted(release, 1)),
        candidate: None,
        strategy: Strategy::Rolling,
    };
    let mut gone = instance(release, 1, InstanceState::Healthy);
    gone.container = Container::Missing;
    assert!(
        plan(&desired, &seen(vec![gone.clone()]), at(1))
            .steps
            .contains(&Step::Replace(gone.id))
    );

    let crash = Crash {
        release,
        process: ProcessType::web(),
        at: at(10),
        settled: false,
    };
    let crashed = Observed {
        instances: vec![],
        crashes: vec![crash.clone(), crash],
    };
    let waiting = plan(&desired, &crashed, at(11));
    assert_eq!((waiting.steps, waiting.again_at), (vec![], Some(at(12))));
    assert_eq!(plan(&desired, &crashed, at(12)).steps, [start(release, 1)]);
}

#[test]
fn scaling_down_lets_the_unhealthy_and_the_newest_go() {
    let release = ReleaseId::generate();
    let desired = Desired {
        live: Some(wanted(release, 1)),
        candidate: None,
        strategy: Strategy::Rolling,
    };
    let first = instance(release, 1, InstanceState::Healthy);
    let second = instance(release, 2, InstanceState::Healthy);
    let third = instance(release, 3, InstanceState::Starting);
    let expected = [Step::Drain(second.id), Step::Stop(third.id)];
    let steps = plan(&desired, &seen(vec![third, second, first]), at(1)).steps;
    assert!(expected.iter().all(|step| steps.contains(step)), "{steps:?}");
}

#[test]
fn a_restart_starts_the_new_generation_before_it_drains_the_old() {
    let release = ReleaseId::generate();
    let mut want = wanted(release, 1);
    want.processes.get_mut(&ProcessType::web()).unwrap().restart_seq = 1;
    let desired = Desired {
        live: Some(want),
        candidate: None,
        strategy: Strategy::Rolling,
    };
    let old = instance(release, 1, InstanceState::Healthy);
    let first = plan(&desired, &seen(vec![old.clone()]), at(1));
    assert_eq!(
        first.steps,
        [Step::Start {
            release,
            process: ProcessType::web(),
            n: 2,
            restart_seq: 1
        }]
    );
    let mut new = instance(release, 2, InstanceState::Healthy);
    new.restart_seq = 1;
    assert_eq!(
        plan(&desired, &seen(vec![old.clone(), new]), at(1)).steps,
        [Step::Drain(old.id)]
    );
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

#[test]
fn a_rolling_release_takes_over_one_by_one() {
    let (old, new, desired) = changeover(Strategy::Rolling, 3);
    let all_old = healthy(old, 1..=3);
    assert_eq!(plan(&desired, &seen(all_old.clone()), at(1)).steps, [start(new, 1)]);
    let mut first = instance(new, 1, InstanceState::Healthy);
    let with_first = seen([all_old.clone(), vec![first.clone()]].concat());
    assert_eq!(plan(&desired, &with_first, at(1)).steps, [Step::Admit(first.id)]);
    first.admitted = true;
    let admitted = seen([all_old.clone(), vec![first]].concat());
    assert_eq!(
        plan(&desired, &admitted, at(1)).steps,
        [Step::Drain(all_old[2].id), start(new, 2)]
    );
}

#[test]
fn a_rolling_release_that_fails_gives_the_instances_back() {
    let (old, new, mut desired) = changeover(Strategy::Rolling, 2);
    desired.candidate = None;
    let mut taken = instance(new, 1, InstanceState::Healthy);
    taken.admitted = true;
    let drain = Step::Drain(taken.id);
    let observed = seen(vec![instance(old, 1, InstanceState::Healthy), taken]);
    assert_eq!(plan(&desired, &observed, at(1)).steps, [start(old, 2), drain]);
}

#[test]
fn a_blue_green_release_starts_as_a_whole_and_gets_nothing_before_the_switch() {
    let (old, new, desired) = changeover(Strategy::BlueGreen, 2);
    let all_old = healthy(old, 1..=2);
    assert_eq!(
        plan(&desired, &seen(all_old.clone()), at(1)).steps,
        [start(new, 1), start(new, 2)]
    );
    let one_ready = seen([all_old, healthy(new, 1..=1)].concat());
    assert_eq!(plan(&desired, &one_ready, at(1)).steps, [start(new, 2)]);
}

#[test]
fn a_recreated_release_starts_when_the_old_one_is_gone() {
    let (old, new, desired) = changeover(Strategy::Recreate, 1);
    let mut last = instance(old, 1, InstanceState::Healthy);
    assert_eq!(
        plan(&desired, &seen(vec![last.clone()]), at(1)).steps,
        [Step::Drain(last.id)]
    );
    last.state = InstanceState::Draining;
    last.draining_at = Some(at(0));
    assert_eq!(plan(&desired, &seen(vec![last]), at(1)).steps, []);
    assert_eq!(plan(&desired, &seen(vec![]), at(1)).steps, [start(new, 1)]);
}

#[test]
fn an_instance_that_is_healthy_no_longer_is_replaced() {
    let release = ReleaseId::generate();
    let desired = Desired {
        live: Some(wanted(release, 1)),
        ..Desired::default()
    };
    let sick = instance(release, 1, InstanceState::Unhealthy);
    let steps = plan(&desired, &seen(vec![sick.clone()]), at(1)).steps;
    assert_eq!(steps, [Step::Replace(sick.id), start(release, 2)]);
}

/// Plays a changeover to its end as the worker would: whatever is started becomes healthy in the next round, whatever is drained is
/// gone in the one after. Returns the fewest instances that had requests, and the most that ran.
fn play(strategy: Strategy, quantity: u32) -> (usize, usize) {
    let (old, new, mut desired) = changeover(strategy, quantity);
    let mut observed = seen(healthy(old, 1..=quantity));
    let (mut fewest, mut most) = (usize::MAX, 0);
    for round in 0..200 {
        let steps = plan(&desired, &observed, at(round)).steps;
        if steps.is_empty() && desired.candidate.is_none() {
            return (fewest, most);
        }
        observed.instances.retain(|i| i.state != InstanceState::Draining);
        for i in &mut observed.instances {
            i.state = InstanceState::Healthy;
        }
        for step in steps {
            let id = |i: &Instance, id: InstanceId| i.id == id;
            match step {
                Step::Start { release, n, .. } => {
                    observed.instances.push(instance(release, n, InstanceState::Starting));
                }
                Step::Admit(it) => observed
                    .instances
                    .iter_mut()
                    .filter(|i| id(i, it))
                    .for_each(|i| i.admitted = true),
                Step::Drain(it) => {
                    let drained = observed.instances.iter_mut().filter(|i| id(i, it));
                    drained.for_each(|i| {
                        i.state = InstanceState::Draining;
                        i.in_flight = Some(0);
                    });
                }
                Step::Stop(it) => observed.instances.retain(|i| !id(i, it)),
                Step::Promote(release) => {
                    assert_eq!(release, new);
                    desired.live = desired.candidate.take();
                }
                Step::Probe(_) => {}
                other => panic!("{other:?}"),
            }
        }
        let live = desired.live.as_ref().unwrap().release;
        let served = |i: &&Instance| i.state == InstanceState::Healthy && (i.release == live || i.admitted);
        fewest = fewest.min(observed.instances.iter().filter(served).count());
        most = most.max(observed.instances.len());
    }
    panic!("the changeover does not end");
}

#[test]
fn every_strategy_comes_to_its_end_within_its_bounds() {
    for quantity in 1..=9 {
        let wanted = quantity as usize;
        let (fewest, most) = play(Strategy::Rolling, quantity);
        // One that was just told to drain is still there while the next one starts.
        let beyond = 2 * Strategy::Rolling.surge(quantity) as usize;
        assert!(
            fewest >= wanted && most <= wanted + beyond,
            "rolling {quantity}: {fewest} to {most}"
        );
        assert_eq!(play(Strategy::BlueGreen, quantity), (wanted, 2 * wanted));
        assert_eq!(play(Strategy::Recreate, quantity), (0, wanted));
    }
}

fn any_instance(releases: [ReleaseId; 2]) -> impl proptest::strategy::Strategy<Value = Instance> {
    let states = prop::sample::select(vec![
        InstanceState::Starting,
        InstanceState::Healthy,
        InstanceState::Draining,
    ]);
    let containers = prop::sample::select(vec![Container::Missing, Container::Running, Container::Ended]);
    (
        0..2_usize,
        1..4_u32,
        states,
        containers,
        0..2_i32,
        prop::option::of(0..2_u64),
    )
        .prop_map(move |(which, n, state, container, restart_seq, in_flight)| Instance {
            container,
            restart_seq,
            in_flight,
            ..instance(releases[which], n, state)
        })
}

proptest! {
    #[test]
    fn a_healthy_instance_of_the_live_release_is_never_stopped_without_being_drained(
        instances in prop::collection::vec(any_instance([ReleaseId::from_uuid(UUIDS[0]), ReleaseId::from_uuid(UUIDS[1])]), 0..8),
        quantity in 0..4_u32,
        has_candidate: bool,
        strategy in prop::sample::select(Strategy::ALL.to_vec()),
        second in 0..90_i64,
    ) {
        let [live, candidate] = UUIDS.map(ReleaseId::from_uuid);
        let desired = Desired {
            live: Some(wanted(live, quantity)),
            candidate: has_candidate.then(|| wanted(candidate, quantity)),
            strategy,
        };
        let observed = seen(instances);
        for step in plan(&desired, &observed, at(second)).steps {
            let id = match step {
                Step::Stop(id) | Step::Replace(id) => id,
                Step::Promote(_) => {
                    let healthy = observed.instances.iter().filter(|i| i.release == candidate
                        && i.state == InstanceState::Healthy && i.container == Container::Running).count();
                    prop_assert!(healthy >= quantity as usize);
                    continue;
                }
                _ => continue,
            };
            let instance = observed.instances.iter().find(|i| i.id == id).unwrap();
            let serving = instance.state == InstanceState::Healthy && instance.container == Container::Running;
            prop_assert!(!serving, "{instance:?}");
        }
    }
}

const UUIDS: [uuid::Uuid; 2] = [uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2)];
