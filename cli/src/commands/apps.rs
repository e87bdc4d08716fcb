//! `windlass apps …`

use reqwest::Method;
use serde_json::{Map, Value, json};
use windlass_domain::AppName;

use super::{destroy, remote};
use crate::{
    args::{AppsCommand, BuildFlags, CreateApp, UpdateApp, apps::SettingFlags},
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
        table.row([&app.name, &app.status, app.release.as_deref().unwrap_or("-"), &app.url]);
    }
    table.print(out)
}

async fn create(context: &Context<'_>, create: &CreateApp) -> Result<(), CliError> {
    let out = context.out;
    let session = context.session()?;
    let client = context.client()?;
    let mut body = changes(&create.settings, None);
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
        out.next(&format!("windlass deploy --ref {} -a {name}", app.branch));
    } else if connected {
        out.next(&format!("git push {} HEAD:{}", create.remote, app.branch));
    } else if in_git {
        out.next(&format!("windlass deploy -a {name}"));
    } else {
        out.next(&format!("in the app's git repository: windlass git remote -a {name}"));
    }
    Ok(())
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
        ("Status", app.status.clone()),
        ("Release", or_dash(&app.release)),
        ("Git", app.git_url.clone()),
        ("Repository", or_dash(&app.repo_url)),
        ("Branch", app.branch.clone()),
        ("Build", brief(&app.build)),
        ("Health", brief(&app.health)),
        ("Limits", limits(&app.limits)),
        (
            "Port",
            app.port
                .map_or_else(|| "from the image, or 8080".to_owned(), |port| port.to_string()),
        ),
        ("Drain", format!("{} s", app.drain_seconds.unwrap_or_default())),
        ("Created", time::since(app.created_at)),
    ];
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
    let path = ["apps", name.as_str()];
    let client = context.client()?;
    let busy = out.spinner(&format!("changing {name}"));
    // Groups of settings are sent whole, so what is not changed must be what it was.
    let now: App = view::read(&client.get(&path).await?)?;
    let mut body = changes(&update.settings, Some(&now));
    for setting in &update.reset {
        body.insert(setting.field().to_owned(), Value::Null);
    }
    if body.is_empty() {
        return Err(CliError::usage("nothing to change").next("windlass help apps update"));
    }
    let fields: Vec<String> = body.keys().cloned().collect();
    let answer = client.send(Method::PATCH, &path, Some(&Value::Object(body))).await?;
    drop(busy);
    if out.json {
        return out.json(&answer);
    }
    out.done(&format!("changed {} of app {name}", fields.join(", ")));
    show_deploy_key(context, &view::read(&answer)?);
    out.note("It takes effect with the next deployment.");
    out.next(&format!("windlass deploy -a {name}"));
    Ok(())
}

/// The fields of the API that these flags set. `now` is the app as it is.
fn changes(flags: &SettingFlags, now: Option<&App>) -> Map<String, Value> {
    let mut body = Map::new();
    let mut set = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(field.to_owned(), value);
        }
    };
    set("repo_url", flags.repo_url.as_ref().map(|url| json!(url)));
    set("branch", flags.branch.as_ref().map(|branch| json!(branch)));
    set("port", flags.port.map(|port| json!(port)));
    set("drain_seconds", flags.drain_seconds.map(|seconds| json!(seconds)));
    let health = [("path", flags.health_path.as_ref().map(|path| json!(path)))];
    set("health", merged(now.map(|app| &app.health), health));
    let limits = [
        ("memory_bytes", flags.memory.map(|bytes| json!(bytes))),
        ("cpu_millis", flags.cpu.map(|millis| json!(millis))),
    ];
    set("limits", merged(now.map(|app| &app.limits), limits));
    set("build", build_changes(&flags.build, now));
    body
}

fn build_changes(flags: &BuildFlags, now: Option<&App>) -> Option<Value> {
    let build = now.map(|app| &app.build);
    let args = (!flags.build_args.is_empty()).then(|| {
        let mut args = build
            .and_then(|build| build.get("args"))
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        args.extend(flags.build_args.iter().map(|(key, value)| (key.clone(), json!(value))));
        Value::Object(args)
    });
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| json!(path.to_string_lossy()));
    merged(
        build,
        [
            ("builder", flags.builder.map(|builder| json!(builder.word()))),
            ("dockerfile", path(&flags.dockerfile)),
            ("context", path(&flags.context)),
            ("target", flags.target.as_ref().map(|target| json!(target))),
            ("args", args),
        ],
    )
}

/// A group of settings with these changed; none if none is.
fn merged<const N: usize>(now: Option<&Value>, changes: [(&str, Option<Value>); N]) -> Option<Value> {
    let changed: Vec<_> = changes
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect();
    if changed.is_empty() {
        return None;
    }
    let mut group = now.and_then(Value::as_object).cloned().unwrap_or_default();
    group.extend(changed);
    Some(Value::Object(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_settings_keeps_what_is_not_changed() {
        let now = json!({"dockerfile": "Dockerfile.prod", "target": null});
        let group = merged(Some(&now), [("target", Some(json!("web"))), ("context", None)]);
        assert_eq!(group, Some(json!({"dockerfile": "Dockerfile.prod", "target": "web"})));
        assert_eq!(merged(Some(&now), [("target", None)]), None);
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
