//! A release that is wanted no longer goes, and what of it serves stays until others can.

use super::{changeover::play, *};

/// A candidate of two has failed when its first instance had taken over: one old and one new instance serve.
fn half_way() -> (Desired, Instance, Instance) {
    let (old, new, mut desired) = changeover(Strategy::Rolling, 2);
    desired.candidate = None;
    let left = instance(old, 1, InstanceState::Healthy);
    let taken = Instance {
        admitted: true,
        ..instance(new, 1, InstanceState::Healthy)
    };
    (desired, left, taken)
}

#[test]
fn a_rolling_release_that_fails_gives_the_instances_back() {
    let (desired, left, taken) = half_way();
    let old = left.release;
    let back = |state| instance(old, 2, state);
    let steps = |instances: &[&Instance]| {
        let observed = seen(instances.iter().map(|i| (*i).clone()).collect());
        plan(&desired, &observed, at(1)).steps
    };
    assert_eq!(steps(&[&left, &taken]), [start(old, 2)], "it serves meanwhile");
    let starting = back(InstanceState::Starting);
    assert_eq!(steps(&[&left, &taken, &starting]), [Step::Probe(starting.id)]);
    let healthy = back(InstanceState::Healthy);
    assert_eq!(steps(&[&left, &taken, &healthy]), [Step::Drain(taken.id)]);
}

#[test]
fn no_more_of_a_failed_release_serve_than_are_lacking() {
    let (old, new, mut desired) = changeover(Strategy::Rolling, 3);
    desired.candidate = None;
    let mut all = healthy(old, 1..=2);
    all.extend(
        healthy(new, 1..=2)
            .into_iter()
            .map(|i| Instance { admitted: true, ..i }),
    );
    let newest = all[3].id;
    let steps = plan(&desired, &seen(all), at(1)).steps;
    assert_eq!(steps, [start(old, 3), Step::Drain(newest)]);
}

#[test]
fn what_itself_failed_or_never_served_is_not_kept() {
    let (desired, left, taken) = half_way();
    let goes = |gone: Instance, step: fn(InstanceId) -> Step| {
        let steps = plan(&desired, &seen(vec![left.clone(), gone.clone()]), at(1)).steps;
        assert_eq!(steps, [start(left.release, 2), step(gone.id)], "{gone:?}");
    };
    let with = |state, container| Instance {
        state,
        container,
        ..taken.clone()
    };
    goes(with(InstanceState::Unhealthy, Container::Running), Step::Drain);
    // It has requests until the routes are told.
    goes(with(InstanceState::Healthy, Container::Ended), Step::Drain);
    goes(with(InstanceState::Starting, Container::Running), Step::Stop);
    goes(
        Instance {
            admitted: false,
            ..taken.clone()
        },
        Step::Drain,
    );
    goes(
        Instance {
            process: "worker".parse().unwrap(),
            ..taken.clone()
        },
        Step::Stop,
    );
}

#[test]
fn a_failed_release_serves_on_beside_one_that_cannot_come_back_only_if_nothing_else_does() {
    let (desired, left, taken) = half_way();
    let old = left.release;
    let steps = |instances: Vec<Instance>| {
        let crashes = vec![crash(old, at(0)); 2];
        plan(&desired, &Observed { instances, crashes }, at(0)).steps
    };
    assert_eq!(steps(vec![left, taken.clone()]), [Step::Drain(taken.id)]);
    assert_eq!(steps(vec![taken]), [], "it is all that serves");
}

#[test]
fn what_the_next_candidate_has_taken_over_needs_no_stand_in() {
    let (mut desired, left, taken) = half_way();
    let next = ReleaseId::generate();
    desired.candidate = Some(wanted(next, 2));
    let admitted = Instance {
        admitted: true,
        ..instance(next, 1, InstanceState::Healthy)
    };
    let steps = plan(&desired, &seen(vec![left, taken.clone(), admitted]), at(1)).steps;
    assert_eq!(steps, [start(next, 2), Step::Drain(taken.id)]);
}

#[test]
fn a_recreate_does_not_wait_for_a_stand_in() {
    let (mut desired, left, taken) = half_way();
    desired.candidate = Some(wanted(ReleaseId::generate(), 2));
    desired.strategy = Strategy::Recreate;
    let steps = plan(&desired, &seen(vec![left.clone(), taken.clone()]), at(1)).steps;
    assert_eq!(steps, [Step::Drain(left.id), Step::Drain(taken.id)]);
}

#[test]
fn however_far_a_rolling_release_had_come_when_it_failed_as_many_as_wanted_serve() {
    for quantity in 2..=9 {
        for after in 1..quantity as usize {
            let (fewest, _) = play(Strategy::Rolling, quantity, Some(after));
            assert_eq!(fewest, quantity as usize, "of {quantity}, failed after {after}");
        }
    }
}
