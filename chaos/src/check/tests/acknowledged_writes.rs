//! What was acknowledged and is not there, or was lost and is.

use super::*;
use crate::world::FormationRow;

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
