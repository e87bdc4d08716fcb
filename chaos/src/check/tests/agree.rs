//! Rows, router, Docker and the apps' answers that do not agree, and what has no owner.

use super::*;

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
