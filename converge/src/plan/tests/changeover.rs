//! One release takes the place of another.

use super::*;

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

/// Plays a changeover to its end as the worker would: whatever is started becomes healthy in the next round, whatever is drained is
/// gone in the one after. The candidate may fail as soon as so many of its instances have taken over. Returns the fewest instances that
/// had requests, and the most that ran.
pub(super) fn play(strategy: Strategy, quantity: u32, fails_after: Option<usize>) -> (usize, usize) {
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
                    observed.instances.iter_mut().for_each(|i| i.admitted = false);
                }
                Step::Probe(_) => {}
                other => panic!("{other:?}"),
            }
        }
        let admitted = observed.instances.iter().filter(|i| i.admitted).count();
        if fails_after.is_some_and(|after| admitted >= after) {
            desired.candidate = None;
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
        let (fewest, most) = play(Strategy::Rolling, quantity, None);
        // One that was just told to drain is still there while the next one starts.
        let beyond = 2 * Strategy::Rolling.surge(quantity) as usize;
        assert!(
            fewest >= wanted && most <= wanted + beyond,
            "rolling {quantity}: {fewest} to {most}"
        );
        assert_eq!(play(Strategy::BlueGreen, quantity, None), (wanted, 2 * wanted));
        assert_eq!(play(Strategy::Recreate, quantity, None), (0, wanted));
    }
}
