//! I3 to I6: rows, router, Docker and the apps' own answers agree.

use std::collections::{BTreeMap, BTreeSet};

use super::{Expected, Violation};
use crate::{
    history::{Ask, Operation, Outcome},
    world::{AppRow, ReleaseRow, World},
};

fn apps<'a>(expected: &'a Expected, world: &'a World) -> impl Iterator<Item = &'a AppRow> {
    let whole = |app: &&AppRow| !app.deleting && !expected.hollow.contains(&app.name);
    world.rows.apps.iter().filter(whole)
}

/// I3.
pub(super) fn rows_router_and_docker(expected: &Expected, world: &World, found: &mut Vec<Violation>) {
    match &world.router {
        None if !expected.traefik => found.push(Violation::new("I3", "the router does not answer")),
        Some(router) if router.generation != router.on_disk => found.push(Violation::new(
            "I3",
            format!(
                "the router serves table {} and has {} on disk",
                router.generation, router.on_disk
            ),
        )),
        None | Some(_) => {}
    }
    for app in apps(expected, world) {
        if let Some(candidate) = &app.candidate
            && Some(candidate) != app.live.as_ref()
        {
            found.push(Violation::new(
                "I3",
                format!("{} still has the candidate {candidate}", app.name),
            ));
        }
        containers_are_those_of_the_rows(world, app, found);
        routes_are_those_of_the_rows(world, app, found);
    }
}

fn containers_are_those_of_the_rows(world: &World, app: &AppRow, found: &mut Vec<Violation>) {
    let rows: BTreeSet<&str> = world
        .rows
        .instances
        .iter()
        .filter(|row| row.app == app.id && row.state != "draining")
        .filter_map(|row| row.container.as_deref())
        .collect();
    let running: BTreeSet<&str> = world
        .docker
        .instances_of(&app.id)
        .map(|container| container.id.as_str())
        .collect();
    for id in running.difference(&rows) {
        found.push(Violation::new(
            "I3",
            format!("container {} of {} runs without a row", short(id), app.name),
        ));
    }
    for id in rows.difference(&running) {
        found.push(Violation::new(
            "I3",
            format!(
                "a row of {} names container {}, which does not run",
                app.name,
                short(id)
            ),
        ));
    }
    for container in world.docker.instances_of(&app.id) {
        if Some(&container.release) != app.live.as_ref() {
            found.push(Violation::new(
                "I3",
                format!(
                    "{} runs for {} and is not of its live release",
                    container.name, app.name
                ),
            ));
        }
    }
    let web = world
        .docker
        .instances_of(&app.id)
        .filter(|container| container.process == "web")
        .count();
    let wanted = if app.live.is_some() {
        world.rows.wanted(&app.id, "web") as usize
    } else {
        0
    };
    if web != wanted {
        found.push(Violation::new(
            "I3",
            format!("{} has {web} instances of web, {wanted} are wanted", app.name),
        ));
    }
}

fn routes_are_those_of_the_rows(world: &World, app: &AppRow, found: &mut Vec<Violation>) {
    let Some(router) = &world.router else { return };
    let healthy: BTreeSet<&str> = world
        .rows
        .instances
        .iter()
        .filter(|row| row.app == app.id && row.process == "web" && row.state == "healthy")
        .map(|row| row.id.as_str())
        .collect();
    let routed: BTreeSet<&str> = router
        .upstreams
        .get(&app.name)
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    if healthy != routed {
        found.push(Violation::new(
            "I3",
            format!("{}: healthy are {healthy:?}, the router has {routed:?}", app.name),
        ));
    }
}

/// I4.
pub(super) fn the_last_success_serves(
    history: &[Operation],
    expected: &Expected,
    world: &World,
    found: &mut Vec<Violation>,
) {
    let tints = tints(history);
    for app in apps(expected, world) {
        let succeeded = world.rows.releases.iter().filter(|release| {
            release.app == app.id
                && world
                    .rows
                    .deployment(&release.deployment)
                    .is_some_and(|deployment| deployment.status == "succeeded")
        });
        let last = succeeded.max_by_key(|release| release.version);
        let live = app.live.as_deref().and_then(|id| world.rows.release(id));
        if last.map(|release| &release.id) != live.map(|release| &release.id) {
            let number = |release: Option<&ReleaseRow>| release.map_or(0, |release| release.version);
            found.push(Violation::new(
                "I4",
                format!(
                    "{}: v{} is live, v{} succeeded last",
                    app.name,
                    number(live),
                    number(last)
                ),
            ));
        }
        let says = live
            .and_then(|release| release.commit.as_ref())
            .and_then(|commit| expected.commits.get(commit));
        let tint = live.and_then(|release| tints.get(&(app.name.as_str(), release.config_version)));
        if world.rows.wanted(&app.id, "web") > 0 {
            answers_as_itself(world, app, (says.map(String::as_str), tint.copied()), found);
        }
    }
}

/// The tint of each version of an app's config that was acknowledged. A rollback makes versions of its own, which are not among these.
fn tints(history: &[Operation]) -> BTreeMap<(&str, i32), &str> {
    let mut tints = BTreeMap::new();
    for operation in history {
        let Ask::Config { tint } = &operation.ask else { continue };
        if let Outcome::Acknowledged {
            config_version: Some(version),
            ..
        } = operation.outcome
        {
            tints.insert((operation.app.as_str(), version), tint.as_str());
        }
    }
    tints
}

fn answers_as_itself(
    world: &World,
    app: &AppRow,
    (says, tint): (Option<&str>, Option<&str>),
    found: &mut Vec<Violation>,
) {
    for answer in world.answers.get(&app.name).into_iter().flatten() {
        let wrong = answer.status != 200 || says.is_some_and(|says| !answers(&answer.body, says, tint));
        if wrong {
            found.push(Violation::new(
                "I4",
                format!(
                    "{} answers {} {:?}, expected {says:?} {tint:?}",
                    app.name,
                    answer.status,
                    answer.body.trim()
                ),
            ));
        }
    }
}

/// Whether a body is `app version tint` of this app and version, and of this tint if it is known.
fn answers(body: &str, says: &str, tint: Option<&str>) -> bool {
    let rest = body.strip_prefix(says).and_then(|rest| rest.strip_prefix(' '));
    rest.is_some_and(|rest| tint.is_none_or(|tint| rest.trim_end() == tint))
}

/// I6.
pub(super) fn untouched_apps_keep_their_containers(expected: &Expected, world: &World, found: &mut Vec<Violation>) {
    for (name, before) in &expected.untouched {
        let Some(app) = world.rows.app(name) else { continue };
        let mut now: Vec<&str> = world
            .docker
            .instances_of(&app.id)
            .map(|container| container.id.as_str())
            .collect();
        now.sort_unstable();
        if now != before.iter().map(String::as_str).collect::<Vec<_>>() {
            found.push(Violation::new(
                "I6",
                format!("{name} was not touched, and has other containers than before"),
            ));
        }
    }
}

/// I5.
pub(super) fn everything_has_an_owner(expected: &Expected, world: &World, found: &mut Vec<Violation>) {
    let apps: BTreeSet<&str> = world.rows.apps.iter().map(|app| app.id.as_str()).collect();
    let instances: BTreeSet<&str> = world.rows.instances.iter().map(|row| row.id.as_str()).collect();
    let mut orphan = |what: String| found.push(Violation::new("I5", format!("{what} belongs to nobody")));
    for container in &world.docker.containers {
        if container.role != "instance" || !instances.contains(container.instance.as_str()) {
            orphan(format!(
                "container {} ({}, {})",
                container.name, container.role, container.state
            ));
        }
    }
    for (network, app) in &world.docker.networks {
        if !apps.contains(app.as_str()) {
            orphan(format!("network {network}"));
        }
    }
    let kept = world.rows.images.iter().filter(|row| !row.removed);
    let images: BTreeSet<&str> = kept.map(|row| row.reference.as_str()).collect();
    for image in &world.docker.images {
        if !images.contains(image.as_str()) {
            orphan(format!("image {image}"));
        }
    }
    for repository in &world.repositories {
        if !apps.contains(repository.as_str()) && !expected.unknown.contains(repository) {
            orphan(format!("repository {repository}"));
        }
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
