//! Waiting until an app's instances are as they were asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use windlass_domain::AppName;

use crate::{
    client::{Client, take_items},
    context::Context,
    error::CliError,
    exit::Exit,
    follow,
    view::{self, App, Instance},
};

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(500);
/// What is allowed beside the time that a new instance has to become ready.
const ALLOWANCE: Duration = Duration::from_secs(60);
/// The health deadline of an app whose settings do not say.
const USUAL_DEADLINE: u64 = 60;

/// What was asked for.
#[derive(Debug, Default)]
pub struct Wanted {
    /// How many healthy instances of which process types; all others do not matter.
    pub quantities: BTreeMap<String, u32>,
    /// The ids of instances that shall be replaced.
    pub replaced: BTreeSet<String>,
}

/// The instances as they are.
pub async fn instances(client: &Client, app: &AppName) -> Result<Vec<Instance>, CliError> {
    let mut answer = client.get(&["apps", app.as_str(), "instances"]).await?;
    view::read_all(&take_items(&mut answer))
}

/// Waits until the live release has these instances and no others of these process types. Answers false at once if nothing is
/// live: then the first deployment starts them.
pub async fn settle(context: &Context<'_>, client: &Client, app: &AppName, wanted: &Wanted) -> Result<bool, CliError> {
    let waiting = wait(context, client, app, wanted);
    follow::or_interrupt(waiting, || {
        CliError::new(Exit::Interrupted, format!("Windlass goes on with {app}."))
            .next(format!("windlass ps -a {app} shows how far it is"))
    })
    .await
}

async fn wait(context: &Context<'_>, client: &Client, app: &AppName, wanted: &Wanted) -> Result<bool, CliError> {
    let busy = context.out.spinner(&format!("waiting for the instances of {app}"));
    let begun = Instant::now();
    loop {
        let look = follow::patiently(context.out, || look(client, app)).await?;
        let Some(release) = &look.app.release else {
            return Ok(false);
        };
        let lacking = lacking(&look.instances, release, wanted);
        let Some(first) = lacking.first() else {
            return Ok(true);
        };
        let limit = time_limit(&look.app);
        if begun.elapsed() > limit {
            return Err(too_late(app, limit, first, &lacking));
        }
        busy.say(&first.seen);
        tokio::time::sleep(INTERVAL).await;
    }
}

fn too_late(app: &AppName, limit: Duration, first: &Lack, lacking: &[Lack]) -> CliError {
    let seen: Vec<&str> = lacking.iter().map(|lack| lack.seen.as_str()).collect();
    let detail = format!(
        "{app} is not as wanted after {} s: {}; Windlass goes on trying",
        limit.as_secs(),
        seen.join("; ")
    );
    CliError::new(Exit::Timeout, detail).next(format!("windlass logs -p {} -a {app}", first.process))
}

struct Look {
    app: App,
    instances: Vec<Instance>,
}

async fn look(client: &Client, app: &AppName) -> Result<Look, CliError> {
    Ok(Look {
        app: view::read(&client.get(&["apps", app.as_str()]).await?)?,
        instances: instances(client, app).await?,
    })
}

fn time_limit(app: &App) -> Duration {
    let deadline = app.health["deadline_seconds"].as_u64().unwrap_or(USUAL_DEADLINE);
    Duration::from_secs(deadline) + ALLOWANCE
}

/// A process type that is not as wanted.
#[derive(Debug, PartialEq, Eq)]
struct Lack {
    process: String,
    /// What is seen instead, such as `web: 1 of 3 healthy, 1 starting`.
    seen: String,
}

/// What is not as wanted. What drains, ended or belongs to another release counts neither for nor against it.
fn lacking(instances: &[Instance], release: &str, wanted: &Wanted) -> Vec<Lack> {
    let of = |process: &str, states: &[&str]| -> Vec<&Instance> {
        let own = instances.iter().filter(|instance| instance.process == process);
        own.filter(|instance| instance.release.as_deref() == Some(release))
            .filter(|instance| states.contains(&instance.state.as_str()))
            .collect()
    };
    let lack = |(process, &quantity): (&String, &u32)| {
        let is_old = |instance: &&Instance| wanted.replaced.contains(&instance.id);
        let (old, healthy): (Vec<&Instance>, Vec<&Instance>) = of(process, &["healthy"]).into_iter().partition(is_old);
        let counts = [
            ("starting", of(process, &["starting"]).len()),
            ("unhealthy", of(process, &["unhealthy"]).len()),
            ("still to be replaced", old.len()),
        ];
        if u32::try_from(healthy.len()) == Ok(quantity) && counts.iter().all(|(_, count)| *count == 0) {
            return None;
        }
        let mut parts = vec![format!("{} of {quantity} healthy", healthy.len())];
        let others = counts.iter().filter(|(_, count)| *count > 0);
        parts.extend(others.map(|(state, count)| format!("{count} {state}")));
        parts.extend(of(process, &["crashed"]).last().map(|crashed| last_crash(crashed)));
        Some(Lack {
            process: process.clone(),
            seen: format!("{process}: {}", parts.join(", ")),
        })
    };
    wanted.quantities.iter().filter_map(lack).collect()
}

fn last_crash(crashed: &Instance) -> String {
    let why = match (&crashed.reason, crashed.exit_code) {
        (Some(reason), _) => format!(" ({reason})"),
        (None, Some(code)) => format!(" (exit code {code})"),
        (None, None) => String::new(),
    };
    format!("{} crashed{why}", crashed.name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn instance(id: &str, release: &str, state: &str) -> Instance {
        let value: Value = json!({"id": id, "name": "web.1", "process": "web", "release": release, "state": state,
                                  "exit_code": 1});
        view::read(&value).unwrap()
    }

    fn seen(instances: &[Instance], quantity: u32, replaced: &[&str]) -> Vec<String> {
        let wanted = Wanted {
            quantities: BTreeMap::from([("web".to_owned(), quantity)]),
            replaced: replaced.iter().map(ToString::to_string).collect(),
        };
        let lacking = lacking(instances, "v2", &wanted);
        lacking.into_iter().map(|lack| lack.seen).collect()
    }

    #[test]
    fn as_many_healthy_instances_of_the_live_release_as_wanted_and_no_others() {
        let (a, b) = (instance("a", "v2", "healthy"), instance("b", "v2", "starting"));
        let (old, going) = (instance("c", "v1", "healthy"), instance("d", "v2", "draining"));
        let settled: [String; 0] = [];
        assert_eq!(seen(&[a.clone(), old, going.clone()], 1, &[]), settled);
        assert_eq!(
            seen(&[a.clone(), b.clone()], 2, &[]),
            ["web: 1 of 2 healthy, 1 starting"]
        );
        assert_eq!(seen(&[a.clone(), b], 1, &[]), ["web: 1 of 1 healthy, 1 starting"]);
        assert_eq!(seen(std::slice::from_ref(&a), 0, &[]), ["web: 1 of 0 healthy"]);
        assert_eq!(seen(&[going], 0, &[]), settled);
        let crashed = instance("e", "v2", "crashed");
        assert_eq!(
            seen(&[a, crashed], 2, &[]),
            ["web: 1 of 2 healthy, web.1 crashed (exit code 1)"]
        );
    }

    #[test]
    fn what_takes_too_long_ends_with_what_is_seen_and_a_code_of_its_own() {
        let lacking = ["web", "worker"].map(|process| Lack {
            process: process.to_owned(),
            seen: format!("{process}: 0 of 1 healthy"),
        });
        let error = too_late(
            &"shop".parse().unwrap(),
            Duration::from_secs(120),
            &lacking[0],
            &lacking,
        );
        assert_eq!(error.exit, Exit::Timeout);
        assert_eq!(
            error.detail,
            "shop is not as wanted after 120 s: web: 0 of 1 healthy; worker: 0 of 1 healthy; Windlass goes on trying"
        );
        assert_eq!(error.next_step.as_deref(), Some("windlass logs -p web -a shop"));
    }

    #[test]
    fn a_restart_is_done_when_others_serve() {
        let (old, new) = (instance("old", "v2", "healthy"), instance("new", "v2", "healthy"));
        assert_eq!(
            seen(&[old.clone(), new.clone()], 1, &["old"]),
            ["web: 1 of 1 healthy, 1 still to be replaced"]
        );
        assert_eq!(seen(&[new], 1, &["old"]), Vec::<String>::new());
        assert_eq!(
            seen(&[old], 1, &["old"]),
            ["web: 0 of 1 healthy, 1 still to be replaced"]
        );
    }
}
