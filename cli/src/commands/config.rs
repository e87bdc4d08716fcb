//! `windlass config …`

use std::fs;

use reqwest::Method;
use serde_json::{Map, Value, json};
use windlass_domain::{AppName, ConfigKey};

use super::plan;
use crate::{
    args::{ConfigCommand, SetConfig},
    client::Client,
    context::Context,
    dotenv,
    error::CliError,
    exit::Exit,
    follow, prompt,
    table::Table,
    view::{self, ConfigPlan},
};

pub async fn run(context: &Context<'_>, command: Option<ConfigCommand>) -> Result<(), CliError> {
    let app = context.app()?;
    match command.unwrap_or(ConfigCommand::List) {
        ConfigCommand::List => list(context, &app).await,
        ConfigCommand::Get { key } => get(context, &app, &key).await,
        ConfigCommand::Set(set) => {
            let changes = wanted(&set)?;
            if set.dry_run {
                return look_ahead(context, &app, changes).await;
            }
            change(context, &app, changes, set.detach).await
        }
        ConfigCommand::Unset { keys, detach, dry_run } => {
            let changes = keys.into_iter().map(|key| (key.into(), Value::Null)).collect();
            if dry_run {
                return look_ahead(context, &app, changes).await;
            }
            change(context, &app, changes, detach).await
        }
    }
}

/// What the change would do, and nothing else.
async fn look_ahead(context: &Context<'_>, app: &AppName, changes: Map<String, Value>) -> Result<(), CliError> {
    let out = context.out;
    let busy = out.spinner("looking ahead");
    let path = ["apps", app.as_str(), "config"];
    let client = context.client()?;
    let query = [("dry_run", "true")];
    let answer = client
        .send_with(Method::PATCH, &path, &query, &Value::Object(changes))
        .await?;
    drop(busy);
    if out.json {
        return out.json(&answer);
    }
    let seen: ConfigPlan = view::read(&answer)?;
    match &seen.deployment {
        _ if !seen.changed => {
            out.note(&format!(
                "The config of {app} is like that already; nothing would change."
            ));
            return Ok(());
        }
        Some(deployment) => plan::show(context, deployment)?,
        None => {
            plan::show_config(context, &seen.config)?;
            out.note("Nothing is live; its first deployment would have it.");
        }
    }
    out.note("Nothing was changed. Without --dry-run it is.");
    Ok(())
}

async fn read(context: &Context<'_>, app: &AppName) -> Result<Map<String, Value>, CliError> {
    let busy = context.out.spinner("asking the server");
    let vars = vars(&context.client()?, app).await?;
    drop(busy);
    Ok(vars)
}

/// The config vars as they are.
pub async fn vars(client: &Client, app: &AppName) -> Result<Map<String, Value>, CliError> {
    let mut answer = client.get(&["apps", app.as_str(), "config"]).await?;
    match answer.get_mut("vars").map(Value::take) {
        Some(Value::Object(vars)) => Ok(vars),
        _ => Ok(Map::new()),
    }
}

async fn list(context: &Context<'_>, app: &AppName) -> Result<(), CliError> {
    let out = context.out;
    let vars = read(context, app).await?;
    if out.json {
        let rows = vars.iter().map(|(key, value)| json!({"key": key, "value": value}));
        return out.json(&Value::Array(rows.collect()));
    }
    if vars.is_empty() {
        out.note(&format!("{app} has no config vars."));
        out.next(&format!("windlass config set KEY=value -a {app}"));
        return Ok(());
    }
    let mut table = Table::new(&["KEY", "VALUE"]);
    for (key, value) in &vars {
        table.row([key, &value.as_str().unwrap_or_default().replace('\n', "\\n")]);
    }
    table.print(out)
}

async fn get(context: &Context<'_>, app: &AppName, key: &ConfigKey) -> Result<(), CliError> {
    let vars = read(context, app).await?;
    let value = vars.get(key.as_str()).ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("{app} has no config var {key}"))
            .next(format!("windlass config -a {app}"))
    })?;
    if context.out.json {
        return context.out.json(&json!({"key": key, "value": value}));
    }
    context.out.exact(value.as_str().unwrap_or_default())
}

/// Everything that shall be set: the file first, then the arguments in their order, so that arguments win.
fn wanted(set: &SetConfig) -> Result<Map<String, Value>, CliError> {
    let mut changes = Map::new();
    let mut add = |pairs: Vec<(ConfigKey, String)>| {
        changes.extend(pairs.into_iter().map(|(key, value)| (key.into(), Value::String(value))));
    };
    if let Some(path) = &set.file {
        let text = fs::read_to_string(path)
            .map_err(|error| CliError::usage(format!("cannot read {}: {error}", path.display())))?;
        add(lines(&text, &path.display().to_string())?);
    }
    for argument in &set.vars {
        if argument == "-" {
            add(lines(&prompt::stdin()?, "stdin")?);
        } else {
            add(vec![pair(argument)?]);
        }
    }
    if changes.is_empty() {
        return Err(CliError::usage("there is nothing to set").next("windlass config set KEY=value"));
    }
    Ok(changes)
}

fn lines(text: &str, source: &str) -> Result<Vec<(ConfigKey, String)>, CliError> {
    dotenv::parse(text).map_err(|error| CliError::usage(format!("{source}, {error}")))
}

/// The value is not shown in the message: it may be the secret that somebody forgot the name of.
fn pair(argument: &str) -> Result<(ConfigKey, String), CliError> {
    let (key, value) = argument.split_once('=').ok_or_else(|| {
        CliError::usage("an argument is not of the form KEY=value")
            .next("windlass config set KEY=value, or `-` to read stdin")
    })?;
    let key = key.parse().map_err(|error| CliError::usage(format!("{error}")))?;
    Ok((key, value.to_owned()))
}

async fn change(
    context: &Context<'_>,
    app: &AppName,
    changes: Map<String, Value>,
    detach: bool,
) -> Result<(), CliError> {
    let out = context.out;
    let busy = out.spinner(&format!("changing the config of {app}"));
    let path = ["apps", app.as_str(), "config"];
    let kept = Kept::of(&changes);
    let keys: Vec<String> = changes.keys().cloned().collect();
    let client = context.client()?;
    let answer = client.send(Method::PATCH, &path, Some(&Value::Object(changes))).await?;
    drop(busy);
    if out.json {
        out.json(&answer)?;
    }
    say_changed(context, app, &keys, &answer);
    let deployment = answer.get("deployment").filter(|deployment| !deployment.is_null());
    let Some(started) = deployment.map(started) else {
        return Ok(());
    };
    let ended = match (out.json, detach) {
        (true, true) => Ok(()),
        (true, false) => follow::quietly(context, app.as_str(), &started).await,
        (false, _) => {
            out.note(&format!("Deploying the change to {app} …"));
            follow::finish(context, app.as_str(), &started, detach).await
        }
    };
    if ended.as_ref().is_err_and(|error| error.exit == Exit::DeployFailed) {
        say_kept(context, &client, app, &kept).await;
    }
    ended
}

/// A change whose deployment failed is kept, and comes with the next one: that must not surprise.
async fn say_kept(context: &Context<'_>, client: &Client, app: &AppName, kept: &Kept) {
    // Only a hint: the failure itself is what must be told.
    let answer = client.get(&["apps", app.as_str()]).await.unwrap_or_default();
    if let Some(live) = answer["release"].as_str() {
        context.out.note(&kept.sentence(live));
    }
}

/// The names of a change, by what happened to them.
#[derive(Debug, Default)]
struct Kept {
    set: Vec<String>,
    removed: Vec<String>,
}

impl Kept {
    fn of(changes: &Map<String, Value>) -> Self {
        let mut kept = Self::default();
        for (key, value) in changes {
            let list = if value.is_null() {
                &mut kept.removed
            } else {
                &mut kept.set
            };
            list.push(key.clone());
        }
        kept
    }

    /// A command sets or removes, never both.
    fn sentence(&self, live: &str) -> String {
        let names = |names: &[String]| names.join(", ");
        match (self.set.as_slice(), self.removed.as_slice()) {
            ([one], _) => format!("The new {one} is kept, but {live} without it is still live."),
            ([], [one]) => format!("{one} stays removed, but {live} with it is still live."),
            ([], removed) => format!("{} stay removed, but {live} with them is still live.", names(removed)),
            (set, _) => format!(
                "The new {} are kept, but {live} without them is still live.",
                names(set)
            ),
        }
    }
}

/// The deployment of a change is told whole or by its id.
fn started(deployment: &Value) -> Value {
    match deployment {
        Value::String(id) => json!({"id": id}),
        whole => whole.clone(),
    }
}

fn say_changed(context: &Context<'_>, app: &AppName, wanted: &[String], answer: &Value) {
    let out = context.out;
    if answer.get("changed") == Some(&Value::Bool(false)) {
        out.done(&format!("the config of {app} was like that already"));
        return;
    }
    out.done(&format!("changed {} of {app}", wanted.join(", ")));
    if answer.get("deployment").is_none_or(Value::is_null) {
        out.note("Its first deployment will have it.");
        out.next(&format!("windlass deploy -a {app}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_equal_signs() {
        assert_eq!(pair("A=b=c").unwrap().1, "b=c");
    }

    #[test]
    fn a_mistake_does_not_show_the_value() {
        let error = pair("hunter2").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        assert_eq!(pair("1A=x").unwrap_err().exit, Exit::Usage);
    }
}
