//! `windlass apps …`

use reqwest::Method;
use serde_json::{Map, Value, json};
use windlass_domain::AppName;

use super::{destroy, remote};
use crate::{
    args::{
        AppsCommand, BuildFlags, CreateApp, Setting, UpdateApp,
        apps::{HealthFlags, SettingFlags, TakeoverFlags},
    },
    context::Context,
    error::CliError,
    git,
    table::{self, Table},
    time,
    view::{self, App},
};

/// More apps than anybody lists.
const ALL: usize = 10_000;

pub async fn run(context: &Context<'_>, command: Option<AppsCommand>) -> Result<(), CliError> {
    match command.unwrap_or(AppsCommand::List) {
        AppsCommand::List => list(context).await,
        AppsCommand::Create(create) => self::create(context, &create).await,
        AppsCommand::Info { name } => info(context, name.as_ref()).await,
        AppsCommand::Update(update) => self::update(context, &update).await,
        AppsCommand::Destroy(destroy) => destroy::run(context, &destroy).await,
    }
}

async fn list(context: &Context<'_>) -> Result<(), CliError> {
    let out = context.out;
    let client = context.client()?;
    let busy = out.spinner("listing apps");
    let items = client.list(&["apps"], ALL).await?;
    drop(busy);
    if out.json {
        return out.json(&Value::Array(items));
    }
    if items.is_empty() {
        out.note("There are no apps yet.");
        out.next("windlass apps create NAME");
        return Ok(());
    }
    let mut table = Table::new(&["NAME", "STATUS", "RELEASE", "URL"]);
    for app in view::read_all::<App>(&items)? {
        table.row([
            &app.name,
            &app.shown_status(),
            app.release.as_deref().unwrap_or("-"),
            &app.url,
        ]);
    }
    table.print(out)
}

async fn create(context: &Context<'_>, create: &CreateApp) -> Result<(), CliError> {
    let out = context.out;
    let session = context.session()?;
    let client = context.client()?;
    let mut body = changes(&create.settings).0;
    body.insert("name".to_owned(), json!(create.name));
    let busy = out.spinner(&format!("creating {}", create.name));
    let answer = client.send(Method::POST, &["apps"], Some(&Value::Object(body))).await?;
    drop(busy);
    let app: App = view::read(&answer)?;
    if !out.json {
        out.done(&format!("created app {}", app.name));
        out.data(&app.url)?;
    }
    show_deploy_key(context, &app);
    let in_git = git::in_work_tree(&context.directory);
    let connected = if create.no_remote || !in_git {
        false
    } else {
        remote::connect(context, &session, &app, create.remote.as_str())?
    };
    if out.json {
        return out.json(&answer);
    }
    let name = &app.name;
    if app.repo_url.is_some() {
        out.next(&how_to_deploy(&app));
    } else if connected {
        out.next(&format!("git push {} HEAD:{}", create.remote, app.branch));
    } else if in_git {
        out.next(&how_to_deploy(&app));
    } else {
        out.next(&format!("in the app's git repository: windlass git remote -a {name}"));
    }
    Ok(())
}

/// An app with a repository of its own is deployed from there: a plain `windlass deploy` would push the working directory.
fn how_to_deploy(app: &App) -> String {
    match &app.repo_url {
        Some(_) => format!("windlass deploy --ref {} -a {}", app.branch, app.name),
        None => format!("windlass deploy -a {}", app.name),
    }
}

/// A repository over SSH is private most of the time: the key must be there before the first deployment.
fn show_deploy_key(context: &Context<'_>, app: &App) {
    let over_ssh = app.repo_url.as_deref().is_some_and(|url| url.starts_with("ssh://"));
    if let (true, Some(key)) = (over_ssh, &app.deploy_key) {
        context.out.note("Give the repository this deploy key (read-only):");
        context.out.note(&format!("  {}", crate::output::harmless(key)));
    }
}

async fn info(context: &Context<'_>, name: Option<&AppName>) -> Result<(), CliError> {
    let app = context.app_or(name)?;
    let client = context.client()?;
    let busy = context.out.spinner("asking the server");
    let answer = client.get(&["apps", app.as_str()]).await?;
    drop(busy);
    if context.out.json {
        return context.out.json(&answer);
    }
    table::facts(context.out, &facts(&view::read(&answer)?))
}

fn facts(app: &App) -> Vec<(&'static str, String)> {
    let or_dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let mut rows = vec![
        ("Name", app.name.clone()),
        ("URL", app.url.clone()),
        ("Status", app.shown_status()),
        ("Release", or_dash(&app.release)),
        ("Git", app.git_url.clone()),
        ("Repository", or_dash(&app.repo_url)),
        ("Branch", app.branch.clone()),
        ("Build", brief(&app.build)),
        ("Health", brief(&app.health)),
        ("Process health", per_process(&app.process_health)),
        ("Limits", limits(&app.limits)),
        (
            "Port",
            app.port
                .map_or_else(|| "from the image, or 8080".to_owned(), |port| port.to_string()),
        ),
        ("Drain", format!("{} s", app.drain_seconds.unwrap_or_default())),
        ("Strategy", view::dashed(&app.strategy)),
        ("Watch", brief(&app.watch)),
        ("Created", time::since(app.created_at)),
    ];
    rows.extend(
        app.crash_loops
            .iter()
            .map(|crash_loop| ("Crash loop", crash_loop.told())),
    );
    if let Some(key) = &app.deploy_key {
        rows.push(("Deploy key", key.clone()));
    }
    rows
}

/// The settings that are set, as `key=value` words.
fn brief(settings: &Value) -> String {
    let is_set = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = settings.as_object().into_iter().flatten();
    let words: Vec<String> = fields
        .filter(|(_, value)| is_set(value))
        .map(|(key, value)| format!("{key}={}", word(value)))
        .collect();
    if words.is_empty() {
        "-".to_owned()
    } else {
        words.join(", ")
    }
}

/// `worker: port=9000, path=/up`, one after the other.
fn per_process(checks: &Value) -> String {
    let checks = checks.as_object().into_iter().flatten();
    let told: Vec<String> = checks
        .map(|(process, check)| format!("{process}: {}", brief(check)))
        .collect();
    if told.is_empty() {
        "-".to_owned()
    } else {
        told.join("; ")
    }
}

fn limits(limits: &Value) -> String {
    let number = |key: &str| limits.get(key).and_then(Value::as_u64).unwrap_or_default();
    let (mebibytes, cores) = (number("memory_bytes") >> 20, number("cpu_millis"));
    format!(
        "{mebibytes} MiB, {}.{:02} cores, {} processes",
        cores / 1000,
        cores % 1000 / 10,
        number("pids")
    )
}

async fn update(context: &Context<'_>, update: &UpdateApp) -> Result<(), CliError> {
    let out = context.out;
    let name = context.app_or(update.name.as_ref())?;
    let mut changes = changes(&update.settings);
    for setting in &update.reset {
        changes.set(setting.field(), Value::Null);
    }
    let process_health = update.settings.health.no_process_health.iter();
    for process in process_health {
        changes.set((Some("process_health"), process.as_str()), Value::Null);
    }
    if changes.0.is_empty() {
        return Err(CliError::usage("nothing to change").next("windlass help apps update"));
    }
    let path = ["apps", name.as_str()];
    let client = context.client()?;
    let busy = out.spinner(&format!("changing {name}"));
    let build = &update.settings.build;
    if !build.build_args.is_empty() || !build.config_args.is_empty() {
        let now = client.get(&path).await?;
        changes.keep_args(&now["build"]);
    }
    let fields = changes.names().join(", ");
    let answer = client
        .send(Method::PATCH, &path, Some(&Value::Object(changes.0)))
        .await?;
    drop(busy);
    if out.json {
        return out.json(&answer);
    }
    out.done(&format!("changed {fields} of app {name}"));
    let app: App = view::read(&answer)?;
    show_deploy_key(context, &app);
    out.note("It takes effect with the next deployment.");
    out.next(&how_to_deploy(&app));
    Ok(())
}

/// Changes of settings in the API's form: absent stays, null is the default.
#[derive(Debug, Default, PartialEq)]
struct Changes(Map<String, Value>);

impl Changes {
    fn set(&mut self, (group, field): (Option<&str>, &str), value: Value) {
        let fields = match group {
            None => Some(&mut self.0),
            Some(group) => self.0.entry(group).or_insert_with(|| json!({})).as_object_mut(),
        };
        fields.map(|fields| fields.insert(field.to_owned(), value));
    }

    /// Adds the build args and the config args that the app has and that are not changed: the API takes all of them together.
    fn keep_args(&mut self, now: &Value) {
        let Some(build) = self.0.get_mut("build").and_then(Value::as_object_mut) else {
            return;
        };
        if let Some(Value::Object(wanted)) = build.get_mut("args") {
            for (key, value) in now["args"].as_object().into_iter().flatten() {
                wanted.entry(key).or_insert_with(|| value.clone());
            }
        }
        if let Some(Value::Array(wanted)) = build.get_mut("config_args") {
            let names = now["config_args"].as_array().into_iter().flatten();
            let kept: Vec<Value> = names.filter(|name| !wanted.contains(name)).cloned().collect();
            wanted.splice(0..0, kept);
        }
    }

    /// What is changed, as `port` or `build.target`.
    fn names(&self) -> Vec<String> {
        let name = |(group, value): (&String, &Value)| match value.as_object() {
            Some(fields) => fields.keys().map(|field| format!("{group}.{field}")).collect(),
            None => vec![group.clone()],
        };
        self.0.iter().flat_map(name).collect()
    }
}

/// What these flags change.
fn changes(flags: &SettingFlags) -> Changes {
    let mut changes = Changes::default();
    let mut set = |field: Setting, value: Option<Value>| {
        if let Some(value) = value {
            changes.set(field.field(), value);
        }
    };
    set(Setting::RepoUrl, flags.repo_url.as_ref().map(|url| json!(url)));
    set(Setting::Branch, flags.branch.as_ref().map(|branch| json!(branch)));
    set(Setting::Port, flags.port.map(Value::from));
    set(Setting::DrainSeconds, flags.drain_seconds.map(Value::from));
    set(Setting::Pids, flags.pids.map(Value::from));
    set(Setting::Memory, flags.memory.map(Value::from));
    set(Setting::Cpu, flags.cpu.map(Value::from));
    health_changes(&flags.health, &mut set);
    takeover_changes(&flags.takeover, &mut set);
    build_changes(&flags.build, set);
    for check in &flags.health.process_health {
        let field = (Some("process_health"), check.process.as_str());
        changes.set(field, Value::Object(check.changes.clone()));
    }
    changes
}

fn health_changes(health: &HealthFlags, set: &mut impl FnMut(Setting, Option<Value>)) {
    set(Setting::HealthPath, health.health_path.as_deref().map(Value::from));
    set(
        Setting::HealthStatus,
        health.health_status.as_ref().map(|set| json!(set)),
    );
    set(Setting::HealthInterval, health.health_interval.map(Value::from));
    set(Setting::HealthTimeout, health.health_timeout.map(Value::from));
    set(Setting::HealthRetries, health.health_retries.map(Value::from));
    set(Setting::HealthDeadline, health.health_deadline.map(Value::from));
}

fn takeover_changes(takeover: &TakeoverFlags, set: &mut impl FnMut(Setting, Option<Value>)) {
    set(Setting::Strategy, takeover.strategy.map(|kind| kind.word().into()));
    set(Setting::WatchSeconds, takeover.watch_seconds.map(Value::from));
    set(Setting::WatchCrashes, takeover.watch_crashes.map(Value::from));
    set(
        Setting::WatchErrorPercent,
        takeover.watch_error_percent.map(Value::from),
    );
    set(Setting::WatchMinRequests, takeover.watch_min_requests.map(Value::from));
}

fn build_changes(build: &BuildFlags, mut set: impl FnMut(Setting, Option<Value>)) {
    set(Setting::Builder, build.builder.map(|builder| builder.word().into()));
    set(Setting::Dockerfile, build.dockerfile.as_deref().map(Value::from));
    set(Setting::Context, build.context.as_deref().map(Value::from));
    set(Setting::Target, build.target.as_deref().map(Value::from));
    set(Setting::Submodules, build.submodules.map(Value::from));
    set(Setting::BuildTimeout, build.build_timeout.map(Value::from));
    let args = build.build_args.iter().map(|(key, value)| (key.clone(), json!(value)));
    let args: Map<String, Value> = args.collect();
    set(Setting::BuildArgs, (!args.is_empty()).then_some(Value::Object(args)));
    let names = &build.config_args;
    set(Setting::ConfigArgs, (!names.is_empty()).then(|| json!(names)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_the_fields_that_they_name_and_no_others() {
        let flags = SettingFlags {
            port: Some(3000),
            health: HealthFlags {
                health_path: Some("/healthz".to_owned()),
                ..HealthFlags::default()
            },
            ..SettingFlags::default()
        };
        let mut changes = changes(&flags);
        changes.set(Setting::Target.field(), Value::Null);
        assert_eq!(changes.names(), ["build.target", "health.path", "port"]);
        let body = json!({"port": 3000, "health": {"path": "/healthz"}, "build": {"target": null}});
        assert_eq!(Value::Object(changes.0), body);
    }

    #[test]
    fn a_new_build_arg_leaves_the_others() {
        let mut flags = SettingFlags::default();
        flags.build.build_args = vec![("A".to_owned(), "2".to_owned())];
        let mut changes = changes(&flags);
        changes.keep_args(&json!({"args": {"A": "1", "B": "1"}, "config_args": ["C"]}));
        assert_eq!(
            Value::Object(changes.0),
            json!({"build": {"args": {"A": "2", "B": "1"}}})
        );
    }

    #[test]
    fn settings_are_told_briefly() {
        assert_eq!(
            brief(&json!({"builder": "auto", "args": {}, "target": null, "submodules": false})),
            "builder=auto"
        );
        assert_eq!(brief(&json!({})), "-");
        let wanted = limits(&json!({"memory_bytes": 536_870_912, "cpu_millis": 1500, "pids": 512}));
        assert_eq!(wanted, "512 MiB, 1.50 cores, 512 processes");
    }
}
