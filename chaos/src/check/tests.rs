//! The checker finds what it is there to find.

use std::collections::BTreeSet;

use windlass_testkit::Answer;

use super::*;
use crate::world::{Container, DeploymentRow, FormationRow, ImageRow, InstanceRow, ReleaseRow, Router, StepRow};

/// A world in which `shop` was deployed once and all is well.
fn well() -> (Vec<Operation>, Expected, World) {
    let mut world = World::default();
    world.rows.apps.push(AppRow {
        id: "a".into(),
        name: "shop".into(),
        live: Some("r".into()),
        config_version: 1,
        ..AppRow::default()
    });
    world.rows.deployments.push(DeploymentRow {
        id: "d".into(),
        app: "a".into(),
        status: "succeeded".into(),
        attempt: 1,
        ..DeploymentRow::default()
    });
    world.rows.releases.push(ReleaseRow {
        id: "r".into(),
        app: "a".into(),
        version: 1,
        deployment: "d".into(),
        commit: Some("c1".into()),
        config_version: 1,
    });
    world.rows.instances.push(InstanceRow {
        id: "i".into(),
        app: "a".into(),
        release: "r".into(),
        process: "web".into(),
        state: "healthy".into(),
        container: Some("k".into()),
        ..InstanceRow::default()
    });
    world.rows.images.push(ImageRow {
        reference: "windlass/shop:d".into(),
        deployment: "d".into(),
        removed: false,
    });
    world.docker.containers.push(container("k", "i", "r"));
    world.docker.images.push("windlass/shop:d".into());
    world.docker.networks.push(("windlass-shop".into(), "a".into()));
    world.repositories.push("a".into());
    world.router = Some(Router {
        generation: 3,
        on_disk: 3,
        upstreams: [("shop".to_owned(), BTreeSet::from(["i".to_owned()]))].into(),
    });
    world.answers.insert("shop".into(), vec![answer("shop v1 -\n")]);
    let expected = Expected {
        commits: [("c1".to_owned(), "shop v1".to_owned())].into(),
        doomed: BTreeSet::from(["bad".to_owned()]),
        untouched: [("shop".to_owned(), vec!["k".to_owned()])].into(),
        orphans: true,
        traefik: false,
        all_succeed: true,
        hollow: BTreeSet::new(),
        unknown: BTreeSet::new(),
    };
    (
        vec![acknowledged(Ask::Deploy { commit: "c1".into() }, Some("dpl_d"))],
        expected,
        world,
    )
}

fn container(id: &str, instance: &str, release: &str) -> Container {
    Container {
        id: id.into(),
        name: format!("shop-web-{id}"),
        state: "running".into(),
        role: "instance".into(),
        app: "a".into(),
        release: release.into(),
        instance: instance.into(),
        process: "web".into(),
    }
}

fn answer(body: &str) -> Answer {
    Answer {
        status: 200,
        body: body.into(),
    }
}

fn acknowledged(ask: Ask, deployment: Option<&str>) -> Operation {
    Operation {
        id: 0,
        app: "shop".into(),
        ask,
        outcome: Outcome::Acknowledged {
            deployment: deployment.map(str::to_owned),
            config_version: None,
        },
        sent_ms: 0,
    }
}

/// The invariants that are found broken after this change to the world in which all is well.
#[track_caller]
fn breaks(expected_to_break: &[&str], change: impl FnOnce(&mut Vec<Operation>, &mut World)) {
    let (mut history, expected, mut world) = well();
    change(&mut history, &mut world);
    let found = check(&history, &expected, &world);
    let names: BTreeSet<&str> = found.iter().map(|violation| violation.invariant).collect();
    assert_eq!(names, expected_to_break.iter().copied().collect(), "{found:#?}");
}

#[test]
fn a_world_in_which_all_is_well_breaks_nothing() {
    breaks(&[], |_, _| {});
}

#[test]
fn a_stuck_deployment_is_found() {
    breaks(&["I1"], |_, world| {
        world.rows.deployments.push(DeploymentRow {
            id: "e".into(),
            app: "a".into(),
            status: "running".into(),
            ..DeploymentRow::default()
        });
    });
}

#[test]
fn a_lost_deployment_is_found() {
    breaks(&["I1"], |history, _| {
        history.push(acknowledged(Ask::Rollback, Some("dpl_x")));
    });
}

#[test]
fn a_deployment_that_failed_through_no_fault_of_the_app_is_found_unless_it_was_cancelled() {
    let failed = |history: &mut Vec<Operation>, world: &mut World| {
        history.push(acknowledged(Ask::Rollback, Some("dpl_e")));
        world.rows.deployments.push(DeploymentRow {
            id: "e".into(),
            app: "a".into(),
            status: "failed".into(),
            ..DeploymentRow::default()
        });
    };
    breaks(&["I1"], failed);
    breaks(&[], |history, world| {
        failed(history, world);
        let deployment = "dpl_e".to_owned();
        history.push(acknowledged(Ask::Cancel { deployment }, None));
    });
}

/// A deployment of commit `c2` that this began and that ended so.
fn deployed(trigger: &str, status: &str) -> DeploymentRow {
    DeploymentRow {
        id: "e".into(),
        app: "a".into(),
        status: status.into(),
        trigger: trigger.into(),
        commit: Some("c2".into()),
        ..DeploymentRow::default()
    }
}

fn unknown(ask: Ask) -> Operation {
    Operation {
        outcome: Outcome::Unknown,
        ..acknowledged(ask, None)
    }
}

#[test]
fn a_push_that_was_acknowledged_has_a_deployment_that_did_not_fail() {
    let pushed = |row: Option<DeploymentRow>| {
        move |history: &mut Vec<Operation>, world: &mut World| {
            history.push(acknowledged(Ask::Push { commit: "c2".into() }, None));
            world.rows.deployments.extend(row);
        }
    };
    breaks(&["I1"], pushed(None));
    breaks(&["I1"], pushed(Some(deployed("api", "succeeded"))));
    breaks(&["I1"], pushed(Some(deployed("push", "failed"))));
    breaks(&["I1"], pushed(Some(deployed("push", "cancelled"))));
    breaks(&[], pushed(Some(deployed("push", "succeeded"))));
    breaks(&[], pushed(Some(deployed("push", "superseded"))));
}

#[test]
fn what_nobody_heard_of_may_not_be_there_but_may_not_fail_either() {
    for (ask, trigger) in [
        (Ask::Push { commit: "c2".into() }, "push"),
        (Ask::Deploy { commit: "c2".into() }, "api"),
    ] {
        breaks(&[], |history, _| history.push(unknown(ask.clone())));
        breaks(&["I1"], |history, world| {
            history.push(unknown(ask.clone()));
            world.rows.deployments.push(deployed(trigger, "failed"));
        });
        breaks(&[], |history, world| {
            history.push(unknown(ask.clone()));
            // Built again by itself, a rollback, a change of config: judged by what asked for it, if somebody did.
            world.rows.deployments.push(deployed("rebuild", "failed"));
        });
        breaks(&[], |history, world| {
            history.push(unknown(ask.clone()));
            let deployment = "dpl_e".to_owned();
            history.push(unknown(Ask::Cancel { deployment }));
            world.rows.deployments.push(deployed(trigger, "cancelled"));
        });
    }
    breaks(&["I4"], |history, world| {
        history.push(unknown(Ask::Deploy { commit: "bad".into() }));
        let mut doomed = deployed("api", "succeeded");
        doomed.commit = Some("bad".into());
        world.rows.deployments.push(doomed);
    });
}

#[test]
fn an_answer_without_the_config_of_its_release_is_found() {
    let tinted = |version: i32| {
        let mut config = acknowledged(Ask::Config { tint: "red".into() }, None);
        config.outcome = Outcome::Acknowledged {
            deployment: None,
            config_version: Some(version),
        };
        move |history: &mut Vec<Operation>, _: &mut World| history.push(config)
    };
    breaks(&["I4"], tinted(1));
    breaks(&[], |history, world| {
        tinted(1)(history, world);
        world.answers.insert("shop".into(), vec![answer("shop v1 red\n")]);
    });
    breaks(&[], tinted(0));
}

#[test]
fn a_scale_that_was_acknowledged_and_forgotten_is_found() {
    breaks(&["I2"], |history, _| {
        history.push(acknowledged(Ask::Scale { quantity: 2 }, None));
    });
    breaks(&[], |history, _| {
        history.push(acknowledged(Ask::Scale { quantity: 2 }, None));
        let mut unknown = acknowledged(Ask::Scale { quantity: 1 }, None);
        unknown.outcome = Outcome::Unknown;
        history.push(unknown);
    });
}

#[test]
fn an_acknowledged_app_and_an_acknowledged_config_must_be_there() {
    breaks(&["I2"], |history, _| {
        let mut other = acknowledged(Ask::Create, None);
        other.app = "other".into();
        history.push(other);
    });
    breaks(&["I2"], |history, _| {
        let mut config = acknowledged(Ask::Config { tint: "red".into() }, None);
        config.outcome = Outcome::Acknowledged {
            deployment: None,
            config_version: Some(2),
        };
        history.push(config);
    });
}

#[test]
fn a_container_of_an_old_release_that_still_runs_is_found() {
    breaks(&["I3", "I5", "I6"], |_, world| {
        world.docker.containers.push(container("old", "j", "r0"));
    });
}

#[test]
fn a_container_that_should_run_and_does_not_is_found() {
    breaks(&["I3", "I6"], |_, world| {
        world.docker.containers[0].state = "exited".into()
    });
}

#[test]
fn a_route_to_an_instance_that_is_gone_is_found() {
    breaks(&["I3"], |_, world| {
        let router = world.router.as_mut().unwrap();
        router.upstreams.get_mut("shop").unwrap().insert("gone".into());
    });
    breaks(&["I3"], |_, world| world.router = None);
    breaks(&["I3"], |_, world| world.router.as_mut().unwrap().on_disk = 2);
}

#[test]
fn another_apps_or_an_older_answer_is_found() {
    for body in ["blog v1 -\n", "shop v0 -\n", "shop v12 -\n", ""] {
        breaks(&["I4"], |_, world| {
            world.answers.get_mut("shop").unwrap().push(answer(body))
        });
    }
}

#[test]
fn a_live_release_that_is_not_the_last_success_is_found() {
    breaks(&["I4"], |_, world| {
        world.rows.deployments.push(DeploymentRow {
            id: "e".into(),
            app: "a".into(),
            status: "succeeded".into(),
            ..DeploymentRow::default()
        });
        world.rows.releases.push(ReleaseRow {
            id: "s".into(),
            app: "a".into(),
            version: 2,
            deployment: "e".into(),
            ..ReleaseRow::default()
        });
    });
}

#[test]
fn what_has_no_owner_is_found() {
    breaks(&["I5"], |_, world| {
        world.docker.networks.push(("windlass-gone".into(), "b".into()))
    });
    breaks(&["I5"], |_, world| world.docker.images.push("windlass/shop:e".into()));
    breaks(&["I5"], |_, world| world.rows.images[0].removed = true);
    breaks(&["I5"], |_, world| world.repositories.push("b".into()));
    let (history, mut expected, mut world) = well();
    expected.unknown.insert("b".into());
    world.repositories.push("b".into());
    assert_eq!(check(&history, &expected, &world), [], "it is kept on purpose");
    world.docker.networks.push(("windlass-lost".into(), "b".into()));
    assert_eq!(check(&history, &expected, &world).len(), 1, "but nothing else is");
    breaks(&["I5"], |_, world| {
        let mut left = container("left", "j", "r");
        left.state = "created".into();
        world.docker.containers.push(left);
    });
}

#[test]
fn a_replaced_container_of_an_untouched_app_is_found() {
    breaks(&["I6"], |_, world| {
        world.docker.containers[0].id = "other".into();
        world.rows.instances[0].container = Some("other".into());
    });
}

#[test]
fn what_an_older_attempt_writes_after_a_newer_one_began_is_found() {
    let step = |attempt, started, finished, outcome: &str| StepRow {
        deployment: "d".into(),
        step: "build".into(),
        attempt,
        started,
        finished: Some(finished),
        outcome: Some(outcome.into()),
    };
    breaks(&[], |_, world| {
        world.rows.steps = vec![step(1, 1.0, 5.0, "abandoned"), step(2, 5.0, 6.0, "done")];
    });
    breaks(&["I7"], |_, world| {
        world.rows.steps = vec![step(1, 1.0, 5.5, "done"), step(2, 5.0, 6.0, "done")];
    });
    breaks(&["I7"], |_, world| {
        world.rows.steps = vec![step(1, 5.5, 5.6, "failed"), step(2, 5.0, 6.0, "done")];
    });
}

#[test]
fn a_deployment_with_two_releases_is_found() {
    breaks(&["I7"], |_, world| {
        let mut twin = world.rows.releases[0].clone();
        twin.version = 0;
        twin.id = "twin".into();
        world.rows.releases.push(twin);
    });
}

#[test]
fn a_delivery_that_deployed_twice_is_found() {
    breaks(&["I8"], |history, world| {
        for _ in 0..3 {
            let delivery = "one".to_owned();
            history.push(acknowledged(Ask::Deliver { delivery }, None));
        }
        for id in ["w1", "w2"] {
            world.rows.deployments.push(DeploymentRow {
                id: id.into(),
                app: "a".into(),
                status: "succeeded".into(),
                trigger: "webhook".into(),
                ..DeploymentRow::default()
            });
        }
    });
}

#[test]
fn a_delivery_whose_deployment_failed_is_found() {
    for status in ["failed", "succeeded"] {
        let found: &[&str] = if status == "failed" { &["I8"] } else { &[] };
        breaks(found, |history, world| {
            let delivery = "one".to_owned();
            history.push(acknowledged(Ask::Deliver { delivery }, None));
            world.rows.deployments.push(deployed("webhook", status));
        });
    }
}

#[test]
fn a_delivery_that_was_taken_and_lost_is_found() {
    breaks(&["I8"], |history, _| {
        let delivery = "one".to_owned();
        history.push(acknowledged(Ask::Deliver { delivery }, None));
    });
}

#[test]
fn an_app_that_crashes_must_not_succeed() {
    let deploy = |status: &'static str| {
        move |history: &mut Vec<Operation>, world: &mut World| {
            history.push(acknowledged(Ask::Deploy { commit: "bad".into() }, Some("dpl_e")));
            world.rows.deployments.push(DeploymentRow {
                id: "e".into(),
                app: "a".into(),
                status: status.into(),
                ..DeploymentRow::default()
            });
        }
    };
    breaks(&["I4"], deploy("succeeded"));
    breaks(&[], deploy("failed"));
}

#[test]
fn a_destroyed_app_that_is_still_there_is_found() {
    breaks(&["I2"], |history, _| history.push(acknowledged(Ask::Destroy, None)));
}

#[test]
fn a_restart_that_was_acknowledged_is_done_once() {
    let restarted = |count: u32, instances: u32| {
        move |history: &mut Vec<Operation>, world: &mut World| {
            history.push(acknowledged(Ask::Restart, None));
            world.rows.formation.push(FormationRow {
                app: "a".into(),
                process: "web".into(),
                quantity: 1,
                restarts: count,
            });
            world.rows.instances[0].restarts = instances;
        }
    };
    breaks(&[], restarted(1, 1));
    breaks(&["I2"], restarted(0, 0));
    breaks(&["I2"], restarted(2, 2));
    breaks(&["I2"], restarted(1, 0));
}

#[test]
fn after_a_restored_dump_what_came_later_must_be_gone() {
    let lost = |ask: Ask| Operation {
        outcome: Outcome::Lost,
        ..acknowledged(ask, Some("dpl_later"))
    };
    breaks(&[], |history, _| {
        history.extend([lost(Ask::Destroy), lost(Ask::Scale { quantity: 2 })])
    });
    breaks(&["I2"], |history, world| {
        history.push(lost(Ask::Restart));
        world.rows.formation.push(FormationRow {
            app: "a".into(),
            process: "web".into(),
            quantity: 1,
            restarts: 1,
        });
        world.rows.instances[0].restarts = 1;
    });
}
