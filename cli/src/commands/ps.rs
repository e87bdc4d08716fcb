//! `windlass ps …`

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use windlass_domain::{AppName, ProcessType};

use super::settle::{self, Wanted};
use crate::{
    args::{PsCommand, ShownInstances},
    client::{Client, take_items},
    context::Context,
    error::CliError,
    output::harmless,
    scale::{self, ScaleChange},
    table::Table,
    time,
    view::{self, App, CrashLoop, Instance, Process, ScalePlan},
};

/// How many instances of which process types.
type Quantities = BTreeMap<String, u32>;

pub async fn run(context: &Context<'_>, shown: ShownInstances, command: Option<PsCommand>) -> Result<(), CliError> {
    if shown.all && !matches!(command, None | Some(PsCommand::List(_))) {
        return Err(CliError::usage("`--all` is for the list of instances")
            .next("write `windlass ps --all` for the list, or leave `--all` out"));
    }
    let app = context.app()?;
    match command.unwrap_or(PsCommand::List(shown)) {
        PsCommand::List(own) => list(context, &app, shown.all || own.all).await,
        PsCommand::Scale { changes, .. } if changes.is_empty() => formation(context, &app).await,
        PsCommand::Scale {
            changes, dry_run: true, ..
        } => look_ahead(context, &app, &changes).await,
        PsCommand::Scale { changes, detach, .. } => scale(context, &app, &changes, detach).await,
        PsCommand::Restart { process, detach } => restart(context, &app, process.as_ref(), detach).await,
    }
}

async fn list(context: &Context<'_>, app: &AppName, all: bool) -> Result<(), CliError> {
    let out = context.out;
    let client = context.client()?;
    let busy = out.spinner("asking for the instances");
    let query: &[(&str, &str)] = if all { &[("all", "true")] } else { &[] };
    let path = ["apps", app.as_str(), "instances"];
    let items = take_items(&mut client.get_with(&path, query).await?);
    if out.json {
        return out.json(&Value::Array(items));
    }
    let of: App = view::read(&client.get(&["apps", app.as_str()]).await?)?;
    drop(busy);
    if items.is_empty() {
        out.note(&format!("{app} has no instances."));
        out.next(&format!("windlass status -a {app}"));
        return Ok(());
    }
    if all {
        every_instance(&items)?.print(out)?;
    } else {
        instances(&items, &of.crash_loops)?.print(out)?;
    }
    if let Some(first) = of.crash_loops.first() {
        out.next(&format!("windlass logs -p {} -a {app}", first.process));
    }
    Ok(())
}

/// The instances as a table: what runs, and what ended by itself and left its place empty. Of a process type that ends again and
/// again there is one line instead of one for each end.
pub fn instances(items: &[Value], crash_loops: &[CrashLoop]) -> Result<Table, CliError> {
    let mut table = columns();
    for crash_loop in crash_loops {
        table.row([
            &crash_loop.process,
            "crash-looping",
            "-",
            crash_loop.release.as_deref().unwrap_or("-"),
            &time::since(crash_loop.last_at),
            &crash_loop.why(),
        ]);
    }
    let told_above = |instance: &Instance| {
        let of_it =
            |crash_loop: &CrashLoop| crash_loop.process == instance.process && crash_loop.release == instance.release;
        instance.state == "crashed" && crash_loops.iter().any(of_it)
    };
    let instances = view::read_all::<Instance>(items)?;
    let shown = instances.iter().filter(|instance| instance.state != "stopped");
    for instance in shown.filter(|instance| !told_above(instance)) {
        line(&mut table, instance);
    }
    Ok(table)
}

/// The same with what is history: each end has its line.
fn every_instance(items: &[Value]) -> Result<Table, CliError> {
    let mut table = columns();
    for instance in view::read_all::<Instance>(items)? {
        line(&mut table, &instance);
    }
    Ok(table)
}

fn columns() -> Table {
    Table::new(&["NAME", "STATE", "HEALTH", "RELEASE", "SINCE", "WHY"]).with_prose()
}

fn line(table: &mut Table, instance: &Instance) {
    table.row([
        &instance.name,
        &instance.state,
        instance.health.as_deref().unwrap_or("-"),
        instance.release.as_deref().unwrap_or("-"),
        &time::since(instance.created_at),
        &view::why_ended(instance.reason.as_deref(), instance.exit_code),
    ]);
}

async fn read_formation(client: &Client, app: &AppName) -> Result<Vec<Value>, CliError> {
    Ok(take_items(&mut client.get(&["apps", app.as_str(), "formation"]).await?))
}

/// `web=2 worker=1`: what can be pasted behind `windlass ps scale`.
fn as_typed(items: &[Value]) -> Result<String, CliError> {
    let processes = view::read_all::<Process>(items)?;
    let words: Vec<String> = processes
        .iter()
        .map(|process| format!("{}={}", process.process, process.quantity))
        .collect();
    Ok(words.join(" "))
}

async fn formation(context: &Context<'_>, app: &AppName) -> Result<(), CliError> {
    let items = read_formation(&context.client()?, app).await?;
    if context.out.json {
        return context.out.json(&Value::Array(items));
    }
    context.out.data(&as_typed(&items)?)
}

/// The formation as it is, and what the changes make of the process types that they name.
async fn now_and_then(
    client: &Client,
    app: &AppName,
    changes: &[ScaleChange],
) -> Result<(Quantities, Quantities), CliError> {
    let now = quantities(&read_formation(client, app).await?)?;
    let then = scale::quantities(changes, &now);
    Ok((now, then))
}

/// What the change would do, and nothing else.
async fn look_ahead(context: &Context<'_>, app: &AppName, changes: &[ScaleChange]) -> Result<(), CliError> {
    let out = context.out;
    let busy = out.spinner("looking ahead");
    let client = context.client()?;
    let (now, then) = now_and_then(&client, app, changes).await?;
    let path = ["apps", app.as_str(), "formation"];
    let query = [("dry_run", "true")];
    let answer = client.send_with(Method::PATCH, &path, &query, &json!(then)).await?;
    drop(busy);
    if answer.get("changed").is_none() {
        return Err(scaled_after_all(app, &now, &then));
    }
    if out.json {
        return out.json(&answer);
    }
    show(context, app, &view::read(&answer)?)
}

/// A server that does not know of looking ahead makes the change.
fn scaled_after_all(app: &AppName, now: &Quantities, then: &Quantities) -> CliError {
    let as_before = |process: &String| format!("{process}={}", now.get(process).unwrap_or(&0));
    let before: Vec<String> = then.keys().map(as_before).collect();
    CliError::failure(format!("the server is too old for --dry-run, and has scaled {app}"))
        .next(format!("to go back: windlass ps scale {} -a {app}", before.join(" ")))
}

fn show(context: &Context<'_>, app: &AppName, plan: &ScalePlan) -> Result<(), CliError> {
    let out = context.out;
    if !plan.changed {
        out.note(&format!("{app} is scaled like that already; nothing would change."));
        return Ok(());
    }
    let mut table = Table::new(&["", "TYPE", "NOW", "THEN"]).with_signs();
    for process in &plan.processes {
        let sign = if process.from == process.to { "=" } else { "~" };
        table.row([
            sign,
            &process.process,
            &process.from.to_string(),
            &process.to.to_string(),
        ]);
    }
    table.print(out)?;
    for warning in &plan.warnings {
        out.warn(&harmless(warning));
    }
    out.note("Nothing was changed. Without --dry-run it is.");
    Ok(())
}

async fn scale(context: &Context<'_>, app: &AppName, changes: &[ScaleChange], detach: bool) -> Result<(), CliError> {
    let out = context.out;
    let client = context.client()?;
    let busy = out.spinner(&format!("scaling {app}"));
    let (_, quantities) = now_and_then(&client, app, changes).await?;
    let path = ["apps", app.as_str(), "formation"];
    let mut answer = client.send(Method::PATCH, &path, Some(&json!(quantities))).await?;
    drop(busy);
    let items = take_items(&mut answer);
    let typed = as_typed(&items)?;
    if out.json {
        out.json(&Value::Array(items))?;
    }
    let wanted = Wanted {
        quantities,
        ..Wanted::default()
    };
    if detach {
        out.done(&format!("{app} is to run {typed}"));
        out.next(&format!("windlass ps -a {app}"));
    } else if settle::settle(context, &client, app, &wanted).await? {
        out.done(&format!("scaled {app}: {typed}"));
    } else {
        out.done(&format!("{app} is to run {typed}, once it is deployed"));
        out.next(&format!("windlass deploy -a {app}"));
    }
    Ok(())
}

fn quantities(items: &[Value]) -> Result<Quantities, CliError> {
    let processes = view::read_all::<Process>(items)?.into_iter();
    Ok(processes.map(|process| (process.process, process.quantity)).collect())
}

async fn restart(
    context: &Context<'_>,
    app: &AppName,
    process: Option<&ProcessType>,
    detach: bool,
) -> Result<(), CliError> {
    let out = context.out;
    let client = context.client()?;
    // By their ids and not by the time: the clocks of server and user may differ.
    let replaced = settle::instances(&client, app).await?;
    let body = process.map_or_else(|| json!({}), |process| json!({"process": process}));
    let path = ["apps", app.as_str(), "restart"];
    let mut answer = client.send(Method::POST, &path, Some(&body)).await?;
    if out.json {
        out.json(&answer)?;
    }
    let mut quantities = quantities(&take_items(&mut answer))?;
    quantities.retain(|name, _| process.is_none_or(|process| process.as_str() == name));
    let wanted = Wanted {
        quantities,
        replaced: replaced.into_iter().map(|instance| instance.id).collect(),
    };
    let what = process.map_or("all instances", ProcessType::as_str);
    if detach {
        out.done(&format!("restarting {what} of {app}, new before old"));
        out.next(&format!("windlass ps -a {app}"));
        return Ok(());
    }
    out.note(&format!("Restarting {what} of {app}, new before old …"));
    if settle::settle(context, &client, app, &wanted).await? {
        out.done(&format!("restarted {what} of {app}"));
    } else {
        out.note(&format!("Nothing of {app} is live, so nothing was restarted."));
        out.next(&format!("windlass deploy -a {app}"));
    }
    Ok(())
}
