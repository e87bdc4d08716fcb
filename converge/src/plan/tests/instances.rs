//! The instances of one release: started, replaced, drained, stopped.

use super::*;

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

    let crashed = Observed {
        instances: vec![],
        crashes: vec![crash(release, at(10)); 2],
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

#[test]
fn an_instance_that_is_healthy_no_longer_is_replaced() {
    let release = ReleaseId::generate();
    let desired = Desired {
        live: Some(wanted(release, 1)),
        ..Desired::default()
    };
    let sick = instance(release, 1, InstanceState::Unhealthy);
    let steps = plan(&desired, &seen(vec![sick.clone()]), at(30)).steps;
    assert_eq!(steps, [Step::Replace(sick.id), start(release, 2)]);
}

#[test]
fn an_end_counts_before_it_is_recorded() {
    let release = ReleaseId::generate();
    let desired = Desired {
        live: Some(wanted(release, 1)),
        ..Desired::default()
    };
    let mut ended = instance(release, 1, InstanceState::Healthy);
    ended.container = Container::Ended;
    let planned = |second, crashes: usize| {
        let observed = Observed {
            instances: vec![ended.clone()],
            crashes: vec![crash(release, at(-100)); crashes],
        };
        plan(&desired, &observed, at(second))
    };
    let replace = Step::Replace(ended.id);
    let settled = planned(30, 0);
    assert_eq!(settled.steps, [replace.clone(), start(release, 2)], "it had run well");
    let soon = planned(29, 0);
    assert_eq!((soon.steps, soon.again_at), (vec![replace.clone()], Some(at(30))));
    let again = planned(30, 3);
    assert_eq!((again.steps, again.again_at), (vec![replace], Some(at(38))));
}

#[test]
fn each_empty_place_is_filled_when_its_own_pause_is_over() {
    let release = ReleaseId::generate();
    let desired = Desired {
        live: Some(wanted(release, 3)),
        ..Desired::default()
    };
    let mut crashes = vec![crash(release, at(-1000)); 30];
    crashes.extend([0, 200].map(|second| crash(release, at(second))));
    let planned = |second| {
        let observed = Observed {
            instances: vec![instance(release, 3, InstanceState::Healthy)],
            crashes: crashes.clone(),
        };
        let plan = plan(&desired, &observed, at(second));
        (plan.steps, plan.again_at)
    };
    assert_eq!(planned(299), (vec![], Some(at(300))));
    assert_eq!(planned(300), (vec![start(release, 1)], Some(at(500))));
    assert_eq!(planned(500), (vec![start(release, 1), start(release, 2)], None));
}

#[test]
fn one_that_vanished_is_started_again_at_once() {
    let release = ReleaseId::generate();
    let desired = Desired {
        live: Some(wanted(release, 1)),
        ..Desired::default()
    };
    let mut gone = instance(release, 1, InstanceState::Starting);
    gone.container = Container::Missing;
    let steps = plan(&desired, &seen(vec![gone.clone()]), at(1)).steps;
    assert_eq!(steps, [Step::Replace(gone.id), start(release, 2)]);
}

#[test]
fn a_restart_that_is_asked_for_waits_for_no_crash_before_it() {
    let release = ReleaseId::generate();
    let mut desired = Desired {
        live: Some(wanted(release, 1)),
        ..Desired::default()
    };
    let mut ended = instance(release, 1, InstanceState::Starting);
    ended.container = Container::Ended;
    let observed = Observed {
        instances: vec![ended.clone()],
        crashes: vec![crash(release, at(0)); 9],
    };
    assert_eq!(plan(&desired, &observed, at(1)).steps, [Step::Replace(ended.id)]);
    let live = desired.live.as_mut().unwrap();
    live.processes.get_mut(&ProcessType::web()).unwrap().restart_seq = 1;
    let started = Step::Start {
        release,
        process: ProcessType::web(),
        n: 2,
        restart_seq: 1,
    };
    assert_eq!(
        plan(&desired, &observed, at(1)).steps,
        [Step::Replace(ended.id), started]
    );
}
