//! `windlass releases …` and `windlass rollback`

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Map, Value, json};
use windlass_domain::{AppName, ReleaseVersion};

use super::config;
use crate::{
    args::ReleasesCommand,
    context::Context,
    error::CliError,
    exit::Exit,
    follow,
    table::{self, Table},
    time,
    view::{self, Release, short_commit},
};

pub async fn run(context: &Context<'_>, command: ReleasesCommand) -> Result<(), CliError> {
    match command {
        ReleasesCommand::List { limit } => list(context, &context.app()?, limit).await,
        ReleasesCommand::Info { version } => info(context, &context.app()?, version).await,
        ReleasesCommand::Rollback { version, detach } => rollback(context, version, detach).await,
    }
}

async fn list(context: &Context<'_>, app: &AppName, limit: usize) -> Result<(), CliError> {
    let out = context.out;
    let client = context.client()?;
    let busy = out.spinner("listing releases");
    let items = client.list(&["apps", app.as_str(), "releases"], limit).await?;
    drop(busy);
    if out.json {
        return out.json(&Value::Array(items));
    }
    if items.is_empty() {
        out.note(&format!("{app} has no release yet."));
        out.next(&format!("windlass deploy -a {app}"));
        return Ok(());
    }
    let mut table = Table::new(&["VERSION", "STATUS", "COMMIT", "CREATED", "DESCRIPTION"]).with_prose();
    for release in view::read_all::<Release>(&items)? {
        table.row([
            &release.version,
            status(&release),
            &release.commit.as_deref().map_or_else(|| "-".to_owned(), short_commit),
            &time::since(release.created_at),
            release.description.as_deref().unwrap_or_default(),
        ]);
    }
    table.print(out)
}

/// What matters of a release: whether it serves, never did, or can no longer be gone back to.
fn status(release: &Release) -> &str {
    match (release.live, release.status.as_str(), release.image_available) {
        (true, ..) => "live",
        (false, "" | "succeeded", true) => "-",
        (false, "" | "succeeded", false) => "image gone",
        (false, other, _) => other,
    }
}

async fn info(context: &Context<'_>, app: &AppName, version: Option<ReleaseVersion>) -> Result<(), CliError> {
    let out = context.out;
    let client = context.client()?;
    let busy = out.spinner("asking the server");
    let version = match version {
        Some(version) => version.to_string(),
        None => client.get(&["apps", app.as_str()]).await?["release"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| {
                CliError::new(Exit::NotFound, format!("{app} has no live release"))
                    .next(format!("windlass deploy -a {app}"))
            })?,
    };
    let answer = client.get(&["apps", app.as_str(), "releases", &version]).await?;
    drop(busy);
    if out.json {
        return out.json(&answer);
    }
    let release: Release = view::read(&answer)?;
    let or_dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let mut rows = vec![
        ("Version", release.version.clone()),
        ("Status", status(&release).to_owned()),
        ("Description", or_dash(&release.description)),
        ("Commit", or_dash(&release.commit)),
        ("Deployment", or_dash(&release.deployment)),
        (
            "Config",
            release
                .config_version
                .map_or_else(|| "-".to_owned(), |version| version.to_string()),
        ),
        ("Created", time::since(release.created_at)),
    ];
    let processes = release.processes.iter();
    rows.extend(processes.map(|process| ("Process", format!("{}: {}", process.process, process.command_line()))));
    table::facts(out, &rows)
}

/// `windlass rollback`
pub async fn rollback(context: &Context<'_>, version: Option<ReleaseVersion>, detach: bool) -> Result<(), CliError> {
    let app = context.app()?;
    let target = version.map_or_else(|| "the release before".to_owned(), |version| version.to_string());
    context.out.note(&format!("Rolling {app} back to {target} …"));
    let body = version.map_or_else(|| json!({}), |version| json!({"to": version.to_string()}));
    let client = context.client()?;
    let before = config::vars(&client, &app).await?;
    let path = ["apps", app.as_str(), "rollback"];
    let started = client.send(Method::POST, &path, Some(&body)).await?;
    if !context.out.json {
        let to = started["kind"]["to"].as_str().unwrap_or("that release").to_owned();
        let differences = differences(&before, &config::vars(&client, &app).await?);
        if !differences.is_empty() {
            let differences = differences.join(", ");
            context
                .out
                .note(&format!("config vars are those of {to} again: {differences}"));
        }
    }
    follow::finish(context, app.as_str(), &started, detach).await
}

/// What became of the config vars, by name: their values may be secrets.
fn differences(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<String> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let became = |name: &String| match (before.get(name), after.get(name)) {
        (Some(_), None) => Some(format!("{name} removed")),
        (None, Some(_)) => Some(format!("{name} set")),
        (one, other) if one != other => Some(format!("{name} changed")),
        _ => None,
    };
    names.into_iter().filter_map(became).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_vars_that_a_rollback_changes_are_named_without_their_values() {
        let vars = |value: Value| value.as_object().cloned().unwrap();
        let before = vars(json!({"GREETING": "hunter2", "SAME": "1", "X": "old"}));
        let after = vars(json!({"SAME": "1", "X": "new", "Y": "1"}));
        assert_eq!(differences(&before, &after), ["GREETING removed", "X changed", "Y set"]);
        assert_eq!(differences(&before, &before), Vec::<String>::new());
    }
}
