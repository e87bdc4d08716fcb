//! The checker finds what it is there to find.

mod acknowledged_writes;
mod agree;
mod deployments;

use std::collections::BTreeSet;

use windlass_testkit::Answer;

use super::*;
use crate::world::{Container, DeploymentRow, ImageRow, InstanceRow, ReleaseRow, Router};

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
