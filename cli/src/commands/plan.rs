//! `windlass plan`: what a deployment would change, and nothing else.

use reqwest::Method;
use serde_json::{Value, json};
use windlass_domain::{AppName, ReleaseVersion, RepoUrl};

use super::deploy;
use crate::{
    args,
    client::Client,
    context::Context,
    error::CliError,
    output::harmless,
    table::Table,
    view::{self, App, Plan, PlannedChange, PlannedConfig, short_commit},
};

pub async fn run(context: &Context<'_>, plan: &args::Plan) -> Result<(), CliError> {
    let out = context.out;
    let name = context.app()?;
    let client = context.client()?;
    let asked = match plan.rollback {
        Some(to) => back(&client, &name, to).await?,
        None => forth(context, &client, &name, plan).await?,
    };
    if out.json {
        return out.json(&asked);
    }
    show(context, &view::read(&asked)?)?;
    out.next(&how_to(plan, &name));
    Ok(())
}

/// A plan for people.
pub fn show(context: &Context<'_>, plan: &Plan) -> Result<(), CliError> {
    let out = context.out;
    out.note(&title(plan));
    table(plan).print(out)?;
    if plan.processes_assumed {
        out.note("The process types of the new commit cannot be told from here yet; those that are live are assumed.");
    }
    for warning in &plan.warnings {
        out.warn(&harmless(warning));
    }
    Ok(())
}

/// Config vars that would change, without anything that is deployed.
pub fn show_config(context: &Context<'_>, config: &PlannedConfig) -> Result<(), CliError> {
    let mut table = empty_table();
    config_rows(&mut table, config);
    table.print(context.out)
}

async fn back(client: &Client, name: &AppName, to: Option<ReleaseVersion>) -> Result<Value, CliError> {
    let body = to.map_or_else(|| json!({}), |version| json!({"to": version.to_string()}));
    let path = ["apps", name.as_str(), "rollback"];
    client
        .send_with(Method::POST, &path, &[("dry_run", "true")], &body)
        .await
}

async fn forth(context: &Context<'_>, client: &Client, name: &AppName, plan: &args::Plan) -> Result<Value, CliError> {
    let mut query = vec![("dry_run", "true")];
    let body = match (&plan.reference, &plan.repo_url) {
        (Some(reference), url) => {
            check_repository(client, name, url.as_ref()).await?;
            json!({"ref": reference})
        }
        (None, Some(url)) => {
            check_repository(client, name, Some(url)).await?;
            json!({})
        }
        (None, None) => {
            query.push(("unpushed", "true"));
            json!({"commit": deploy::head(context)?})
        }
    };
    let path = ["apps", name.as_str(), "deployments"];
    client.send_with(Method::POST, &path, &query, &body).await
}

/// `windlass deploy` would make another repository the app's own; looking ahead changes nothing.
async fn check_repository(client: &Client, name: &AppName, url: Option<&RepoUrl>) -> Result<(), CliError> {
    let Some(url) = url else { return Ok(()) };
    let app: App = view::read(&client.get(&["apps", name.as_str()]).await?)?;
    let now = app.repo_url.as_ref().and_then(|text| text.parse::<RepoUrl>().ok());
    if now.as_ref() == Some(url) {
        return Ok(());
    }
    Err(CliError::usage(format!(
        "{url} is not the repository of {name}, and a plan changes nothing"
    ))
    .next(format!("windlass apps update {name} --repo-url {url}, then plan again")))
}

fn title(plan: &Plan) -> String {
    match &plan.live {
        Some(live) => format!("{} of {} would take the place of {live}:", plan.release, plan.app),
        None => format!("{} of {} would be the first that is live:", plan.release, plan.app),
    }
}

/// What becomes of each thing, a line for each.
fn table(plan: &Plan) -> Table {
    let mut table = empty_table();
    let (sign, image) = image(&plan.image);
    table.row([sign, "image", "-", &image]);
    config_rows(&mut table, &plan.config);
    for setting in &plan.settings {
        let field = setting.field.trim_start_matches('/').replace('/', ".");
        table.row([
            "~",
            "setting",
            &field,
            &format!("{} → {}", brief(&setting.from), brief(&setting.to)),
        ]);
    }
    for process in &plan.processes {
        table.row([process.sign(), "process", &process.process, &instances(process)]);
    }
    for route in &plan.routes {
        let host = format!("{}{}", route.host, route.path.trim_end_matches('/'));
        let to = format!("→ {}, {}", route.process, in_word(sign_of(route.change)));
        table.row([sign_of(route.change), "route", &host, &to]);
    }
    let downtime = &plan.downtime;
    let (sign, expected) = match (downtime.expected.as_str(), downtime.seconds) {
        ("none", _) => ("=", "none".to_owned()),
        ("yes", Some(seconds)) => ("!", format!("about {seconds} s")),
        ("yes", None) => ("!", "yes".to_owned()),
        _ => ("?", "not judged".to_owned()),
    };
    table.row([sign, "downtime", &expected, &downtime.reason]);
    table
}

fn empty_table() -> Table {
    Table::new(&["", "WHAT", "NAME", "CHANGE"]).with_prose().with_signs()
}

fn config_rows(table: &mut Table, config: &PlannedConfig) {
    for (sign, names) in [("+", &config.added), ("~", &config.changed), ("-", &config.removed)] {
        for name in names {
            table.row([sign, "config var", name, in_word(sign)]);
        }
    }
}

fn image(image: &Value) -> (&'static str, String) {
    let text = |key: &str| image.get(key).and_then(Value::as_str);
    let commit = text("commit").map(short_commit);
    match (text("action"), text("release")) {
        (Some("reuse"), Some(release)) => {
            let commit = commit.map(|commit| format!(" ({commit})")).unwrap_or_default();
            ("=", format!("that of {release}{commit}; nothing is built"))
        }
        _ => {
            let what: Vec<String> = commit.into_iter().chain(text("reference").map(str::to_owned)).collect();
            ("~", format!("built from {}", what.join(", ")))
        }
    }
}

fn instances(process: &view::PlannedProcess) -> String {
    let view::PlannedProcess {
        start, stop, at_most, ..
    } = process;
    match (start, stop) {
        (0, 0) => "no instances".to_owned(),
        (0, stop) => format!("{stop} stop"),
        (start, 0) => format!("{start} start"),
        (start, stop) => format!("{start} start, {stop} stop, {at_most} at once at most"),
    }
}

const fn sign_of(change: PlannedChange) -> &'static str {
    match change {
        PlannedChange::Added => "+",
        PlannedChange::Changed => "~",
        PlannedChange::Removed => "-",
        PlannedChange::Unchanged => "=",
    }
}

fn in_word(sign: &str) -> &'static str {
    match sign {
        "+" => "new",
        "~" => "changed",
        "-" => "gone",
        _ => "as before",
    }
}

impl view::PlannedProcess {
    /// Instances of an unchanged process type are replaced as well.
    const fn sign(&self) -> &'static str {
        match self.change {
            PlannedChange::Unchanged if self.start > 0 || self.stop > 0 => "~",
            change => sign_of(change),
        }
    }
}

fn brief(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn how_to(plan: &args::Plan, name: &AppName) -> String {
    let arguments = match (&plan.rollback, &plan.reference, &plan.repo_url) {
        (Some(Some(version)), ..) => format!("rollback {version}"),
        (Some(None), ..) => "rollback".to_owned(),
        (None, Some(reference), _) => format!("deploy --ref {reference}"),
        (None, None, Some(url)) => format!("deploy {url}"),
        (None, None, None) => "deploy".to_owned(),
    };
    format!("windlass {arguments} -a {name}")
}
