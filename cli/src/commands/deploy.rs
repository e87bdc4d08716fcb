//! `windlass deploy`

use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};
use url::Url;
use windlass_domain::{AppName, RepoUrl};

use super::remote;
use crate::{
    args::Deploy,
    client::Client,
    context::{Context, Session},
    error::CliError,
    exit::Exit,
    follow, git, prompt, settings,
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
    let out = context.out;
    let directory = &context.directory;
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
    out.note(&format!(
        "Pushing {} to {name} ({}) …",
        short_commit(&commit),
        app.branch
    ));
    let session = context.session()?;
    let pushed = push(context, &session, app, deploy).await?;
    if pushed == Pushed::Deployed {
        return say_deployed(context, name, &commit).await;
    }
    let client = context.client()?;
    let started = start(&client, name, &json!({"commit": commit})).await?;
    follow::finish(context, name.as_str(), &started, deploy.detach).await
}

/// What a push came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pushed {
    /// The server deployed the commit and says that it is live.
    Deployed,
    /// The commit is there, and nothing was deployed.
    OnlyStored,
}

/// Runs `git push` with this program as the only credential helper. Its progress and the server's `remote:` lines go straight to
/// stderr.
async fn push(context: &Context<'_>, session: &Session, app: &App, deploy: &Deploy) -> Result<Pushed, CliError> {
    let url = remote::push_url(&session.server, app)?;
    let mut command = push_command(context, session, &url)?;
    command.args(["push", "--porcelain"]);
    if deploy.force {
        command.arg("--force");
    }
    if deploy.detach {
        command.arg("--push-option=no-deploy");
    }
    command.args(["--", url.as_str(), &format!("HEAD:refs/heads/{}", app.branch)]);
    let child = command.spawn().map_err(git::not_started)?;
    let name = &app.name;
    let ended = follow::or_interrupt(
        async { child.wait_with_output().await.map_err(git::not_started) },
        || {
            CliError::new(
                Exit::Interrupted,
                "The push was interrupted; a deployment that has begun goes on.",
            )
            .next(format!(
                "windlass deployments -a {name}, or windlass deployments cancel -a {name}"
            ))
        },
    )
    .await?;
    let report = String::from_utf8_lossy(&ended.stdout);
    outcome(&report, ended.status.success(), deploy.detach).map_err(|failed| failed.error(app))
}

fn push_command(context: &Context<'_>, session: &Session, url: &Url) -> Result<tokio::process::Command, CliError> {
    let program = std::env::current_exe()
        .map_err(|error| CliError::failure(format!("the path of this program is not known: {error}")))?;
    let mut command = tokio::process::Command::new("git");
    command
        .current_dir(&context.directory)
        // Constant text: git hands it to a shell, which takes the path from the environment as one word.
        .args([
            "-c",
            "credential.helper=",
            "-c",
            "credential.helper=!\"$WINDLASS_PROGRAM\" git-credential",
        ])
        .env("WINDLASS_PROGRAM", program)
        .env("WINDLASS_URL", session.server.as_str())
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if settings::is_loopback(url) {
        command.args(["-c", "http.proxy="]);
    }
    if context.out.json {
        command.stderr(Stdio::null());
    }
    Ok(command)
}

/// Why a push did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PushFailed {
    /// The server's branch has commits that HEAD does not have.
    NotFastForward,
    /// The server took the commit and says that its deployment failed.
    ByServer,
    /// Git itself failed, and has said why.
    Otherwise,
}

impl PushFailed {
    fn error(self, app: &App) -> CliError {
        let name = &app.name;
        match self {
            Self::NotFastForward => CliError::new(
                Exit::Conflict,
                format!(
                    "the branch {} on the server has commits that HEAD does not have",
                    app.branch
                ),
            )
            .next("windlass deploy --force, to deploy HEAD nevertheless"),
            Self::ByServer => CliError::new(
                Exit::DeployFailed,
                format!("the deployment of {name} failed; what was live still is"),
            )
            .next(format!("windlass deployments info -a {name}")),
            Self::Otherwise => CliError::failure("git push failed").next("see git's own message above"),
        }
    }
}

/// Reads the report of `git push --porcelain`.
fn outcome(report: &str, succeeded: bool, detached: bool) -> Result<Pushed, PushFailed> {
    let line = report
        .lines()
        .find(|line| line.contains("\tHEAD:") || line.contains(":refs/heads/"))
        .unwrap_or_default();
    match line.chars().next() {
        _ if line.contains("[remote rejected]") => Err(PushFailed::ByServer),
        Some('!') if line.contains("[rejected]") => Err(PushFailed::NotFastForward),
        _ if !succeeded => Err(PushFailed::Otherwise),
        Some('=') => Ok(Pushed::OnlyStored),
        _ if detached => Ok(Pushed::OnlyStored),
        _ => Ok(Pushed::Deployed),
    }
}

/// The push has shown the log; this says what became of it, and follows it if the push ended before the deployment.
async fn say_deployed(context: &Context<'_>, name: &AppName, commit: &str) -> Result<(), CliError> {
    let client = context.client()?;
    let newest = client.list(&["apps", name.as_str(), "deployments"], 10).await?;
    let of_commit = newest.iter().find(|deployment| deployment["commit"] == commit);
    let Some(answer) = of_commit else {
        return Err(
            CliError::failure(format!("the server has no deployment of {}", short_commit(commit)))
                .next(format!("windlass deployments -a {name}")),
        );
    };
    let deployment: Deployment = view::read(answer)?;
    if !deployment.is_over() {
        return follow::to_the_end(context, name.as_str(), answer).await;
    }
    if context.out.json {
        context.out.json(answer)?;
    }
    follow::verdict(&deployment)?;
    follow::say_live(context.out, name.as_str(), &deployment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(line: &str) -> String {
        format!("To https://w.example/git/shop.git\n{line}\nDone\n")
    }

    #[test]
    fn the_report_of_a_push_is_read() {
        let new = report("*\tHEAD:refs/heads/main\t[new branch]");
        let same = report("=\tHEAD:refs/heads/main\t[up to date]");
        let failed = report("!\tHEAD:refs/heads/main\t[remote rejected] (the deployment failed)");
        let behind = report("!\tHEAD:refs/heads/main\t[rejected] (fetch first)");
        assert_eq!(outcome(&new, true, false), Ok(Pushed::Deployed));
        assert_eq!(outcome(&new, true, true), Ok(Pushed::OnlyStored));
        assert_eq!(outcome(&same, true, false), Ok(Pushed::OnlyStored));
        assert_eq!(outcome(&failed, false, false), Err(PushFailed::ByServer));
        assert_eq!(outcome(&behind, false, false), Err(PushFailed::NotFastForward));
        assert_eq!(outcome("", false, false), Err(PushFailed::Otherwise));
    }
}
