//! Deployments that do not end, do not end as they should, or are done by two hands.

use super::*;
use crate::world::StepRow;

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
