//! The checker: compares what was acknowledged with what is. Pure; its own tests feed it broken worlds and see that it says so.
//!
//! | invariant | judged by |
//! |---|---|
//! | I1 every acknowledged deployment ends once, nothing waits for ever | `deployments.status`, `deployment_steps` |
//! | I2 what was acknowledged is there | `deployments`, `apps`, `formation`, `config_versions` against the history |
//! | I3 one live release; rows, router and Docker agree | `app_states`, `instances`, `docker ps`, the router's table and status |
//! | I4 the last success serves, under its own name and with its config | `releases`, `deployments` and the history against the answer over HTTP |
//! | I5 nothing without an owner | `docker ps -a`, networks, images, repositories against rows |
//! | I6 untouched apps keep their containers | ids of containers before and after |
//! | I7 one fencing token for each effect | `deployment_steps` of an older attempt after a newer one began; images and releases by deployment |
//! | I8 a delivery deploys once | deployments with the trigger `webhook` against the deliveries sent |
//!
//! I13, that a new deployment works after each recovery, is an operation of the scenarios.

mod agree;
mod deployments;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    history::{Ask, Operation, Outcome},
    world::{AppRow, World},
};

/// Something that must never be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// `I1` to `I13`.
    pub invariant: &'static str,
    /// What was found.
    pub what: String,
}

impl Violation {
    /// A violation.
    pub fn new(invariant: &'static str, what: impl Into<String>) -> Self {
        Self {
            invariant,
            what: what.into(),
        }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// What the checker knows besides the history and the world.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// What each commit answers: `app version`.
    pub commits: BTreeMap<String, String>,
    /// Commits whose app ends at once: they must never succeed.
    pub doomed: BTreeSet<String>,
    /// The containers of apps that nobody touched.
    pub untouched: BTreeMap<String, Vec<String>>,
    /// Whether things without an owner count already: the engine sweeps them after a grace time.
    pub orphans: bool,
    /// Whether a Traefik routes, which has no table of ours.
    pub traefik: bool,
    /// Whether every acknowledged deployment has to succeed: nothing is wrong with the apps, and faults come once at a time.
    pub all_succeed: bool,
    /// Apps of which nothing but rows is left, because they were destroyed after the dump that was restored: they cannot serve.
    pub hollow: BTreeSet<String>,
    /// Ids of apps that a restored database does not know: their repositories are kept on purpose, everything else of them has to go.
    pub unknown: BTreeSet<String>,
}

/// Judges a world in which nothing is under way any more.
pub fn check(history: &[Operation], expected: &Expected, world: &World) -> Vec<Violation> {
    let mut found = Vec::new();
    deployments::end_once(history, expected, world, &mut found);
    deployments::fenced(world, &mut found);
    deployments::delivered_once(history, expected, world, &mut found);
    acknowledged_writes_exist(history, world, &mut found);
    agree::rows_router_and_docker(expected, world, &mut found);
    agree::the_last_success_serves(history, expected, world, &mut found);
    agree::untouched_apps_keep_their_containers(expected, world, &mut found);
    if expected.orphans {
        agree::everything_has_an_owner(expected, world, &mut found);
    }
    found
}

/// I2.
fn acknowledged_writes_exist(history: &[Operation], world: &World, found: &mut Vec<Violation>) {
    let apps: BTreeSet<&str> = history.iter().map(|operation| operation.app.as_str()).collect();
    for name in apps {
        let of_app = || history.iter().filter(move |operation| operation.app == name);
        let destroyed = of_app().any(|operation| operation.ask == Ask::Destroy && !was_refused(operation));
        if destroyed {
            let acknowledged = of_app().any(|operation| operation.ask == Ask::Destroy && is_acknowledged(operation));
            if acknowledged && world.rows.app(name).is_some() {
                found.push(Violation::new("I2", format!("{name} was destroyed and is still there")));
            }
            continue;
        }
        let Some(app) = world.rows.app(name) else {
            if of_app().any(is_acknowledged) {
                found.push(Violation::new("I2", format!("{name} was acknowledged and is gone")));
            }
            continue;
        };
        let scales = of_app().filter(|operation| matches!(operation.ask, Ask::Scale { .. }) && !was_refused(operation));
        let (known, unknown) = last_known(scales);
        let wanted = world.rows.wanted(&app.id, "web");
        let possible = |quantity: u32| unknown.iter().any(|ask| **ask == Ask::Scale { quantity });
        if let Some(Ask::Scale { quantity }) = known
            && *quantity != wanted
            && !possible(wanted)
        {
            found.push(Violation::new(
                "I2",
                format!("{name} was scaled to {quantity}, the rows say {wanted}"),
            ));
        }
        restarted_once(of_app(), world, app, found);
        let configs = of_app().filter_map(|operation| match operation.outcome {
            Outcome::Acknowledged { config_version, .. } => config_version,
            _ => None,
        });
        if let Some(version) = configs.max().filter(|version| *version > app.config_version) {
            let now = app.config_version;
            found.push(Violation::new(
                "I2",
                format!("{name} had config {version} acknowledged, the rows have {now}"),
            ));
        }
    }
}

/// I2 for restarts: each that was acknowledged is counted, once, and what runs is from after the last.
fn restarted_once<'a>(
    operations: impl Iterator<Item = &'a Operation>,
    world: &World,
    app: &AppRow,
    found: &mut Vec<Violation>,
) {
    let asked: Vec<&Operation> = operations.filter(|operation| operation.ask == Ask::Restart).collect();
    let count = |of: &dyn Fn(&Operation) -> bool| asked.iter().filter(|operation| of(operation)).count();
    let (taken, possible) = (count(&is_acknowledged), count(&|operation| !was_refused(operation)));
    let recorded = world.rows.restarts(&app.id, "web");
    if !(taken..=possible).contains(&(recorded as usize)) {
        found.push(Violation::new(
            "I2",
            format!(
                "{} was restarted {taken} to {possible} times, the rows say {recorded}",
                app.name
            ),
        ));
    }
    let old = world.rows.instances.iter().filter(|instance| {
        instance.app == app.id
            && instance.process == "web"
            && instance.state != "draining"
            && instance.restarts < recorded
    });
    for instance in old {
        found.push(Violation::new(
            "I2",
            format!(
                "instance {} of {} is from before the last restart",
                instance.id, app.name
            ),
        ));
    }
}

/// The last operation that was acknowledged, and those of unknown outcome after it.
fn last_known<'a>(operations: impl Iterator<Item = &'a Operation>) -> (Option<&'a Ask>, Vec<&'a Ask>) {
    let (mut known, mut unknown) = (None, Vec::new());
    for operation in operations {
        if is_acknowledged(operation) {
            known = Some(&operation.ask);
            unknown.clear();
        } else {
            unknown.push(&operation.ask);
        }
    }
    (known, unknown)
}

fn is_acknowledged(operation: &Operation) -> bool {
    matches!(operation.outcome, Outcome::Acknowledged { .. })
}

/// Nothing may have come of it: it was refused, or a database from before it was restored.
fn was_refused(operation: &Operation) -> bool {
    matches!(operation.outcome, Outcome::Refused { .. } | Outcome::Lost)
}
