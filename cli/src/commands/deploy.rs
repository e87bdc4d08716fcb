//! `windlass deploy`

use reqwest::Method;
use serde_json::{Value, json};
use windlass_domain::{AppName, RepoUrl};

use super::push::{self, Pushed};
use crate::{
    args::Deploy,
    client::Client,
    context::Context,
    error::CliError,
    exit::Exit,
    follow, git, prompt,
    view::{self, App, Deployment, short_commit},
};

pub async fn run(context: &Context<'_>, deploy: &Deploy) -> Result<(), CliError> {
    let name = context.app()?;
    let client = context.client()?;
    let busy = context.out.spinner(&format!("looking up {name}"));
    let app: App = view::read(&client.get(&["apps", name.as_str()]).await?)?;
    drop(busy);
    if let Some(url) = &deploy.repo_url {
        use_repository(context, &client, &app, url).await?;
    } else if deploy.reference.is_none() {
        return deploy_head(context, &app, &name, deploy).await;
    }
    let body = match &deploy.reference {
        Some(reference) => json!({"ref": reference}),
        None => json!({}),
    };
    let what = deploy
        .reference
        .as_ref()
        .map_or(app.branch.as_str(), |reference| reference.as_str());
    context.out.note(&format!("Deploying {what} to {name} …"));
    let started = start(&client, &name, &body).await?;
    follow::finish(context, name.as_str(), &started, deploy.detach).await
}

async fn start(client: &Client, name: &AppName, body: &Value) -> Result<Value, CliError> {
    client
        .send(Method::POST, &["apps", name.as_str(), "deployments"], Some(body))
        .await
}

/// Makes a repository the app's own, after asking if it had another.
async fn use_repository(context: &Context<'_>, client: &Client, app: &App, url: &RepoUrl) -> Result<(), CliError> {
    let now = app.repo_url.as_ref().and_then(|text| text.parse::<RepoUrl>().ok());
    if now.as_ref() == Some(url) {
        return Ok(());
    }
    let name = &app.name;
    if let Some(now) = now {
        prompt::confirm(
            context,
            &format!("App {name} is deployed from {now}. Deploy it from {url} from now on?"),
        )?;
    }
    client
        .send(Method::PATCH, &["apps", name], Some(&json!({"repo_url": url})))
        .await?;
    context
        .out
        .done(&format!("app {name} is deployed from {url} from now on"));
    Ok(())
}

/// Pushes HEAD. A commit that the server has already is deployed again.
async fn deploy_head(context: &Context<'_>, app: &App, name: &AppName, deploy: &Deploy) -> Result<(), CliError> {
    let commit = head(context)?;
    context.out.note(&format!(
        "Pushing {} to {name} ({}) …",
        short_commit(&commit),
        app.branch
    ));
    let client = context.client()?;
    let pushed = Push {
        name,
        commit: &commit,
        before: newest(&client, name).await?,
    };
    match push::push(context, app, deploy).await? {
        Pushed::OnlyStored => {
            let started = start(&client, name, &json!({"commit": commit})).await?;
            follow::finish(context, name.as_str(), &started, deploy.detach).await
        }
        Pushed::Deployed => match pushed.deployment(context, &client).await? {
            Some(answer) => conclude(context, name, &answer).await,
            None => Err(
                CliError::failure(format!("the server has no deployment of {}", short_commit(&commit)))
                    .next(format!("windlass deployments -a {name}")),
            ),
        },
        Pushed::Refused { reason } if deploy.detach => Err(push::refused(&reason)),
        Pushed::BrokenOff if deploy.detach => Err(push::git_failed()),
        Pushed::Refused { reason } => match pushed.deployment(context, &client).await? {
            Some(answer) => conclude_refused(context, name, &answer).await,
            None => Err(push::refused(&reason)),
        },
        Pushed::BrokenOff => match pushed.deployment(context, &client).await {
            Ok(Some(answer)) => conclude(context, name, &answer).await,
            _ => Err(push::git_failed()),
        },
    }
}

/// The commit to push, with a warning for what is not in it.
pub fn head(context: &Context<'_>) -> Result<String, CliError> {
    let (out, directory) = (context.out, &context.directory);
    if !git::in_work_tree(directory) {
        return Err(
            CliError::usage("this directory is not in a git repository, so there is no commit to deploy")
                .next("change to the app's repository, or deploy a ref of its repo_url with `--ref REF`"),
        );
    }
    let commit = git::head(directory).ok_or_else(|| {
        CliError::usage("this repository has no commit yet").next("git add . && git commit, then deploy again")
    })?;
    match git::uncommitted(directory) {
        0 => {}
        1 => out.warn("1 uncommitted change is not deployed"),
        several => out.warn(&format!("{several} uncommitted changes are not deployed")),
    }
    Ok(commit)
}

/// The id of the app's newest deployment.
async fn newest(client: &Client, name: &AppName) -> Result<Option<String>, CliError> {
    let newest = client.list(&["apps", name.as_str(), "deployments"], 1).await?;
    Ok(newest
        .first()
        .and_then(|deployment| deployment["id"].as_str().map(str::to_owned)))
}

/// A push, as one can find what it led to.
struct Push<'a> {
    name: &'a AppName,
    commit: &'a str,
    /// The app's newest deployment before the push: what is not newer was not made by it.
    before: Option<String>,
}

impl Push<'_> {
    /// The deployment that the push led to, if it did. The server may be restarting: then it is waited for.
    async fn deployment(&self, context: &Context<'_>, client: &Client) -> Result<Option<Value>, CliError> {
        let name = self.name;
        let path = ["apps", name.as_str(), "deployments"];
        let asked = follow::patiently(context.out, || client.list(&path, 20));
        let listed = follow::or_interrupt(asked, || push::interrupted(name.as_str())).await?;
        let newer = listed
            .into_iter()
            .take_while(|deployment| deployment["id"].as_str() != self.before.as_deref());
        Ok(newer.into_iter().find(|deployment| deployment["commit"] == self.commit))
    }
}

/// The push has shown the log; this says what became of it, and follows it if the push ended before the deployment.
async fn conclude(context: &Context<'_>, name: &AppName, answer: &Value) -> Result<(), CliError> {
    let deployment: Deployment = view::read(answer)?;
    if !deployment.is_over() {
        context
            .out
            .note(&format!("The deployment {} goes on; following it …", deployment.id));
        return follow::to_the_end(context, name.as_str(), answer).await;
    }
    if context.out.json {
        context.out.json(answer)?;
    }
    follow::verdict(&deployment)?;
    follow::say_live(context.out, name.as_str(), &deployment)
}

/// A refused push is not yet a failed deployment: a server that stops refuses too, and the deployment goes on.
async fn conclude_refused(context: &Context<'_>, name: &AppName, answer: &Value) -> Result<(), CliError> {
    let deployment: Deployment = view::read(answer)?;
    if deployment.status != "failed" || context.out.json {
        return conclude(context, name, answer).await;
    }
    // The push has shown why.
    Err(CliError::new(
        Exit::DeployFailed,
        format!("the deployment of {name} failed; what was live still is"),
    )
    .next(format!("windlass deployments info {} -a {name}", deployment.id)))
}
