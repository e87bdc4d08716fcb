//! `windlass status` and `windlass open`

use serde_json::{Value, json};

use super::ps;
use crate::{
    client::take_items,
    context::Context,
    error::CliError,
    table, time,
    view::{self, App, Deployment},
};

/// The app, its newest deployment and its instances.
pub async fn run(context: &Context<'_>) -> Result<(), CliError> {
    let out = context.out;
    let name = context.app()?;
    let client = context.client()?;
    let busy = out.spinner("asking the server");
    let path = ["apps", name.as_str()];
    let answer = client.get(&path).await?;
    let deployments = client.list(&["apps", name.as_str(), "deployments"], 1).await?;
    let instances = take_items(&mut client.get(&["apps", name.as_str(), "instances"]).await?);
    drop(busy);
    let newest = deployments.into_iter().next();
    if out.json {
        return out.json(&json!({"app": answer, "deployment": newest, "instances": instances}));
    }
    let app: App = view::read(&answer)?;
    let mut rows = vec![
        ("App", app.name.clone()),
        ("Status", app.shown_status()),
        ("URL", app.url.clone()),
        ("Release", app.release.clone().unwrap_or_else(|| "-".to_owned())),
    ];
    if let Some(newest) = &newest {
        rows.push(("Deployment", deployment(newest)?));
    }
    rows.extend(
        app.crash_loops
            .iter()
            .map(|crash_loop| ("Crash loop", crash_loop.told())),
    );
    table::facts(out, &rows)?;
    if instances.is_empty() {
        if newest.is_none() {
            out.next(&format!("windlass deploy -a {name}"));
        }
        return Ok(());
    }
    out.data("")?;
    ps::instances(&instances, &app.crash_loops)?.print(out)
}

fn deployment(newest: &Value) -> Result<String, CliError> {
    let deployment: Deployment = view::read(newest)?;
    let step = deployment.step.as_deref().filter(|_| !deployment.is_over());
    let step = step.map(|step| format!(" ({step})")).unwrap_or_default();
    let reason = deployment
        .failure
        .as_ref()
        .map(|failure| format!(": {}", failure.reason));
    Ok(format!(
        "{}{step}{}, {}, {}",
        deployment.shown_status(),
        reason.unwrap_or_default(),
        deployment.short_commit(),
        time::since(deployment.created_at)
    ))
}

/// Opens the app in a browser when there is a person to see it; prints its address in any case.
pub async fn open(context: &Context<'_>) -> Result<(), CliError> {
    let out = context.out;
    let name = context.app()?;
    let answer = context.client()?.get(&["apps", name.as_str()]).await?;
    let app: App = view::read(&answer)?;
    if out.json {
        return out.json(&json!({"name": app.name, "url": app.url}));
    }
    out.data(&crate::output::harmless(&app.url))?;
    let is_web = app.url.starts_with("http://") || app.url.starts_with("https://");
    if out.interactive && out.terminal && is_web && open::that_detached(&app.url).is_err() {
        out.note("No browser could be started; open the address yourself.");
    }
    Ok(())
}
