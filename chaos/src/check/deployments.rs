//! I1, I7 and I8: deployments end, once, by one hand.

use std::collections::{BTreeMap, BTreeSet};

use super::{Expected, Violation, was_refused};
use crate::{
    history::{Ask, Operation, Outcome},
    world::{DeploymentRow, StepRow, World},
};

/// Clocks of one database do not disagree, but a step is recorded some milliseconds after its beginning.
const SLACK_SECONDS: f64 = 0.001;

/// I1.
pub(super) fn end_once(history: &[Operation], expected: &Expected, world: &World, found: &mut Vec<Violation>) {
    for deployment in world.rows.deployments.iter().filter(|deployment| !deployment.is_over()) {
        found.push(Violation::new(
            "I1",
            format!(
                "deployment {} is {} (attempt {}) {:.0} s after it was made",
                deployment.id, deployment.status, deployment.attempt, deployment.age
            ),
        ));
    }
    let cancelled: BTreeSet<&str> = history
        .iter()
        .filter_map(|operation| match &operation.ask {
            Ask::Cancel { deployment } => Some(world.rows.deployment(deployment)?.id.as_str()),
            _ => None,
        })
        .collect();
    for operation in history {
        let app_is_there = world.rows.app(&operation.app).is_some_and(|app| !app.deleting);
        let made = made_by(operation, world);
        if made.is_empty() && app_is_there {
            found.extend(lost(operation));
        }
        for row in made {
            let may_fail = !expected.all_succeed || cancelled.contains(row.id.as_str()) || !app_is_there;
            found.extend(ended_wrong(operation, row, expected, may_fail));
        }
    }
}

/// The deployments that came of an operation: the one that its answer named, or those of its commit. Of a push no answer names one, and
/// whether there is one after an answer that never came is for the rows to say.
fn made_by<'a>(operation: &Operation, world: &'a World) -> Vec<&'a DeploymentRow> {
    if let Outcome::Acknowledged {
        deployment: Some(id), ..
    } = &operation.outcome
    {
        return world.rows.deployment(id).into_iter().collect();
    }
    let (commit, trigger) = match &operation.ask {
        Ask::Push { commit } => (commit, "push"),
        Ask::Deploy { commit } => (commit, "api"),
        _ => return Vec::new(),
    };
    let Some(app) = world.rows.app(&operation.app).filter(|_| !was_refused(operation)) else {
        return Vec::new();
    };
    let of_commit = |row: &&DeploymentRow| {
        row.app == app.id && row.trigger == trigger && row.commit.as_deref() == Some(commit.as_str())
    };
    world.rows.deployments.iter().filter(of_commit).collect()
}

/// What was acknowledged and has no deployment.
fn lost(operation: &Operation) -> Option<Violation> {
    let what = match (&operation.ask, &operation.outcome) {
        (
            _,
            Outcome::Acknowledged {
                deployment: Some(id), ..
            },
        ) => format!("deployment {id}"),
        (Ask::Push { commit }, Outcome::Acknowledged { .. }) => {
            format!("a push of {commit} to {}", operation.app)
        }
        _ => return None,
    };
    Some(Violation::new("I1", format!("{what} was acknowledged and is lost")))
}

/// An app that crashes must not succeed; any other one must, unless it may fail.
fn ended_wrong(operation: &Operation, row: &DeploymentRow, expected: &Expected, may_fail: bool) -> Option<Violation> {
    if is_doomed(&operation.ask, expected) {
        let what = format!("deployment {} of an app that crashes succeeded", row.id);
        return (row.status == "succeeded").then(|| Violation::new("I4", what));
    }
    if may_fail || !ended_badly(row) {
        return None;
    }
    let reason = row.failure.as_deref().unwrap_or_default();
    Some(Violation::new(
        "I1",
        format!(
            "{} of {}: {} {} after {} attempts: {reason}",
            operation.ask.name(),
            operation.app,
            row.id,
            row.status,
            row.attempt
        ),
    ))
}

fn is_doomed(ask: &Ask, expected: &Expected) -> bool {
    matches!(ask, Ask::Deploy { commit } | Ask::Push { commit } if expected.doomed.contains(commit))
}

fn ended_badly(row: &DeploymentRow) -> bool {
    matches!(row.status.as_str(), "failed" | "cancelled")
}

/// I7: nothing that an attempt did is recorded after a newer attempt began, and effects that must be single are.
pub(super) fn fenced(world: &World, found: &mut Vec<Violation>) {
    let mut began: BTreeMap<(&str, i32), f64> = BTreeMap::new();
    for step in &world.rows.steps {
        let first = began.entry((&step.deployment, step.attempt)).or_insert(step.started);
        *first = first.min(step.started);
    }
    // How the release before goes is recorded by the app's loop, which has a lease of its own.
    let of_attempts = |step: &&StepRow| !matches!(step.step.as_str(), "drain" | "retire");
    for step in world.rows.steps.iter().filter(of_attempts) {
        let newer = began
            .iter()
            .filter(|((deployment, attempt), _)| *deployment == step.deployment && *attempt > step.attempt)
            .map(|(_, at)| *at)
            .fold(f64::INFINITY, f64::min);
        let ended_by_itself = step.outcome.as_deref() == Some("done");
        let late = step.started > newer + SLACK_SECONDS
            || ended_by_itself && step.finished.is_some_and(|finished| finished > newer + SLACK_SECONDS);
        if late {
            found.push(Violation::new(
                "I7",
                format!(
                    "step {} of attempt {} of {} was written after a newer attempt had begun",
                    step.step, step.attempt, step.deployment
                ),
            ));
        }
    }
    let mut releases: BTreeMap<&str, u32> = BTreeMap::new();
    for release in &world.rows.releases {
        *releases.entry(&release.deployment).or_default() += 1;
    }
    for (deployment, count) in releases.into_iter().filter(|(_, count)| *count > 1) {
        found.push(Violation::new(
            "I7",
            format!("deployment {deployment} made {count} releases"),
        ));
    }
}

/// I8.
pub(super) fn delivered_once(history: &[Operation], expected: &Expected, world: &World, found: &mut Vec<Violation>) {
    let mut deliveries: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut acknowledged: BTreeSet<(&str, &str)> = BTreeSet::new();
    for operation in history {
        if let Ask::Deliver { delivery } = &operation.ask {
            deliveries.entry(&operation.app).or_default().insert(delivery);
            if matches!(operation.outcome, Outcome::Acknowledged { .. }) {
                acknowledged.insert((&operation.app, delivery));
            }
        }
    }
    for (name, deliveries) in deliveries {
        let Some(app) = world.rows.app(name) else { continue };
        let made = world
            .rows
            .deployments
            .iter()
            .filter(|deployment| deployment.app == app.id && deployment.trigger == "webhook")
            .count();
        if made > deliveries.len() {
            let sent = deliveries.len();
            found.push(Violation::new(
                "I8",
                format!("{sent} deliveries of {name} made {made} deployments"),
            ));
        }
        let taken = acknowledged.iter().filter(|(app, _)| *app == name).count();
        if made < taken {
            found.push(Violation::new(
                "I8",
                format!("{taken} deliveries of {name} were taken, {made} deployments made"),
            ));
        }
    }
    let failed = |row: &&DeploymentRow| expected.all_succeed && row.trigger == "webhook" && ended_badly(row);
    for row in world.rows.deployments.iter().filter(failed) {
        let reason = row.failure.as_deref().unwrap_or_default();
        let what = format!("deployment {} of a delivery {}: {reason}", row.id, row.status);
        found.push(Violation::new("I8", what));
    }
}
