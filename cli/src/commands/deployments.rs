//! `windlass deployments …`

use reqwest::Method;
use serde_json::Value;
use windlass_domain::AppName;

use crate::{
    args::DeploymentsCommand,
    client::{Client, take_items},
    context::Context,
    error::CliError,
    exit::Exit,
    follow::{self, LogLines},
    output::log_line,
    table::{self, Table},
    time,
    view::{self, Deployment, DeploymentLine},
};

pub async fn run(context: &Context<'_>, command: DeploymentsCommand) -> Result<(), CliError> {
    let app = context.app()?;
    match command {
        DeploymentsCommand::List { limit } => list(context, &app, limit).await,
        DeploymentsCommand::Info { id } => info(context, &app, id).await,
        DeploymentsCommand::Log { id, follow: true } => follow_log(context, &app, id).await,
        DeploymentsCommand::Log { id, follow: false } => log(context, &app, id).await,
        DeploymentsCommand::Cancel { id } => cancel(context, &app, id).await,
    }
}

async fn list(context: &Context<'_>, app: &AppName, limit: usize) -> Result<(), CliError> {
    let out = context.out;
    let client = context.client()?;
    let busy = out.spinner("listing deployments");
    let items = client.list(&["apps", app.as_str(), "deployments"], limit).await?;
    drop(busy);
    if out.json {
        return out.json(&Value::Array(items));
    }
    if items.is_empty() {
        out.note(&format!("{app} has not been deployed yet."));
        out.next(&format!("windlass deploy -a {app}"));
        return Ok(());
    }
    let mut table = Table::new(&["ID", "STATUS", "COMMIT", "RELEASE", "CREATED", "TRIGGER", "WHY"]).with_prose();
    for deployment in view::read_all::<Deployment>(&items)? {
        table.row([
            &deployment.id,
            &deployment.status,
            &deployment.short_commit(),
            deployment.release.as_deref().unwrap_or("-"),
            &time::since(deployment.created_at),
            deployment.trigger(),
            &why(&deployment),
        ]);
    }
    table.print(out)
}

fn why(deployment: &Deployment) -> String {
    match &deployment.superseded_by {
        Some(_) => deployment.shown_status(),
        None => deployment.why().to_owned(),
    }
}

/// The id that was given, or that of the newest deployment.
async fn id_or_newest(client: &Client, app: &AppName, id: Option<String>) -> Result<String, CliError> {
    if let Some(id) = id {
        return Ok(id);
    }
    let newest = client.list(&["apps", app.as_str(), "deployments"], 1).await?;
    let newest = newest.first().and_then(|deployment| deployment["id"].as_str());
    newest.map(str::to_owned).ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("{app} has not been deployed yet"))
            .next(format!("windlass deploy -a {app}"))
    })
}

async fn info(context: &Context<'_>, app: &AppName, id: Option<String>) -> Result<(), CliError> {
    let out = context.out;
    let client = context.client()?;
    let busy = out.spinner("asking the server");
    let id = id_or_newest(&client, app, id).await?;
    let answer = client.get(&["apps", app.as_str(), "deployments", &id]).await?;
    drop(busy);
    if out.json {
        return out.json(&answer);
    }
    let deployment: Deployment = view::read(&answer)?;
    table::facts(out, &facts(&deployment))?;
    if !deployment.steps.is_empty() {
        out.data("")?;
        steps(context, &deployment)?;
    }
    if deployment.status == "failed" {
        out.next(&format!("windlass deployments log {id} -a {app}"));
    }
    Ok(())
}

fn facts(deployment: &Deployment) -> Vec<(&'static str, String)> {
    let word = |value: &Value| {
        let tagged = value.get("type").unwrap_or(value);
        tagged.as_str().map(str::to_owned)
    };
    let optional = [
        ("App", Some(deployment.app.clone()).filter(|app| !app.is_empty())),
        ("Kind", word(&deployment.kind)),
        ("Trigger", word(&deployment.trigger)),
        ("Commit", deployment.commit.clone()),
        ("Ref", deployment.reference.clone()),
        ("Message", deployment.message.clone()),
        ("Step", deployment.step.clone()),
        ("Release", deployment.release.clone()),
        ("URL", deployment.url.clone()),
        ("Created", Some(time::since(deployment.created_at))),
        ("Took", Some(time::took(deployment.started_at, deployment.finished_at))),
        (
            "Reason",
            deployment.failure.as_ref().map(|failure| failure.reason.clone()),
        ),
    ];
    let mut rows = vec![("ID", deployment.id.clone()), ("Status", deployment.shown_status())];
    rows.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    if let Some(failure) = &deployment.failure {
        rows.extend(failure.evidence.iter().map(|line| ("", line.clone())));
        rows.extend(failure.next_step.clone().map(|step| ("Next", step)));
    }
    rows
}

fn steps(context: &Context<'_>, deployment: &Deployment) -> Result<(), CliError> {
    let mut table = Table::new(&["STEP", "OUTCOME", "TOOK", "ATTEMPT", "BEGAN AFTER"]);
    for step in &deployment.steps {
        let waited = step.started_at.filter(|_| deployment.created_at.is_some());
        table.row([
            &step.step,
            step.outcome.as_deref().unwrap_or("running"),
            &time::took(step.started_at, step.finished_at),
            &step.attempt.to_string(),
            &waited.map_or_else(
                || "-".to_owned(),
                |began| time::took(deployment.created_at, Some(began)),
            ),
        ]);
    }
    table.print(context.out)
}

async fn log(context: &Context<'_>, app: &AppName, id: Option<String>) -> Result<(), CliError> {
    let client = context.client()?;
    let id = id_or_newest(&client, app, id).await?;
    let path = ["apps", app.as_str(), "deployments", &id, "log"];
    let mut after = "0".to_owned();
    loop {
        let mut page = client.get_with(&path, &[("after", &after)]).await?;
        for item in take_items(&mut page) {
            if context.out.json {
                context.out.json_line(&item)?;
            } else {
                let line: DeploymentLine = view::read(&item)?;
                context.out.data(&log_line(&line.text))?;
            }
        }
        match page.get("next").and_then(Value::as_i64).map(|next| next.to_string()) {
            Some(next) if next != after => after = next,
            _ => return Ok(()),
        }
    }
}

async fn follow_log(context: &Context<'_>, app: &AppName, id: Option<String>) -> Result<(), CliError> {
    let id = id_or_newest(&context.client()?, app, id).await?;
    let ended = follow::deployment(context, app.as_str(), &id, LogLines::Data).await?;
    follow::verdict(&view::read(&ended)?)
}

async fn cancel(context: &Context<'_>, app: &AppName, id: Option<String>) -> Result<(), CliError> {
    let out = context.out;
    let client = context.client()?;
    let id = match id {
        Some(id) => id,
        None => under_way(&client, app).await?,
    };
    let path = ["apps", app.as_str(), "deployments", &id, "cancel"];
    let answer = client.send(Method::POST, &path, None).await?;
    if out.json {
        return out.json(&answer);
    }
    out.done(&format!("asked to cancel {id} of {app}; what is live stays live"));
    out.next(&format!("windlass deployments info {id} -a {app}"));
    Ok(())
}

/// The deployment that runs, or else the newest of those that wait.
async fn under_way(client: &Client, app: &AppName) -> Result<String, CliError> {
    let newest = client.list(&["apps", app.as_str(), "deployments"], 50).await?;
    let deployments = view::read_all::<Deployment>(&newest)?;
    let newest_that = |status: &str| deployments.iter().find(|deployment| deployment.status == status);
    let found = newest_that("running").or_else(|| newest_that("pending"));
    found.map(|deployment| deployment.id.clone()).ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("no deployment of {app} is under way"))
            .next(format!("windlass deployments -a {app}"))
    })
}
