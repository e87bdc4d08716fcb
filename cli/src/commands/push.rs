//! `git push` to the server, with this program as the only credential helper, and what came of it.

use std::{
    io::Write,
    process::{Output, Stdio},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{ChildStderr, Command},
};
use url::Url;

use super::remote;
use crate::{
    args::Deploy,
    context::{Context, Session},
    error::CliError,
    exit::Exit,
    follow, git, settings,
    view::App,
};

/// What the server says to `no-deploy`, which this program gave and the user did not.
const STORED: &str = "Stored without a deployment";

/// What a push came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// The server deployed the commit and says that it is live.
    Deployed,
    /// The commit is there, and nothing was deployed.
    OnlyStored,
    /// The server did not take the commit: its deployment failed, or the server stops, or there is another reason.
    Refused {
        /// In the server's words.
        reason: String,
    },
    /// Git failed and has said why, or the connection was lost.
    BrokenOff,
}

/// Runs `git push`. Its progress and the server's `remote:` lines go to stderr.
pub async fn push(context: &Context<'_>, app: &App, deploy: &Deploy) -> Result<Pushed, CliError> {
    let session = context.session()?;
    let url = remote::push_url(&session.server, app)?;
    let mut command = command(context, &session, &url)?;
    command.args(["push", "--porcelain"]);
    if deploy.force {
        command.arg("--force");
    }
    if deploy.detach {
        command.arg("--push-option=no-deploy");
        if !context.out.json {
            command.stderr(Stdio::piped());
        }
    }
    command.args(["--", url.as_str(), &format!("HEAD:refs/heads/{}", app.branch)]);
    let ended = follow::or_interrupt(run(command), || interrupted(&app.name)).await?;
    let report = String::from_utf8_lossy(&ended.stdout);
    outcome(&report, ended.status.success(), deploy.detach).ok_or_else(|| not_fast_forward(app))
}

fn command(context: &Context<'_>, session: &Session, url: &Url) -> Result<Command, CliError> {
    let program = std::env::current_exe()
        .map_err(|error| CliError::failure(format!("the path of this program is not known: {error}")))?;
    let mut command = Command::new("git");
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

/// Runs git; what it says on a stderr that is piped is passed on, but for [`STORED`].
async fn run(mut command: Command) -> Result<Output, CliError> {
    let mut child = command.spawn().map_err(git::not_started)?;
    let said = child.stderr.take();
    let (ended, ()) = tokio::join!(child.wait_with_output(), pass_on(said));
    ended.map_err(git::not_started)
}

async fn pass_on(said: Option<ChildStderr>) {
    let Some(said) = said else {
        return;
    };
    let mut said = BufReader::new(said);
    let mut line = Vec::new();
    while matches!(said.read_until(b'\n', &mut line).await, Ok(1..)) {
        if !String::from_utf8_lossy(&line).contains(STORED) {
            // A closed stderr can be told to nobody.
            let _ = std::io::stderr().write_all(&line);
        }
        line.clear();
    }
}

/// Reads the report of `git push --porcelain`; none: the server's branch has commits that HEAD does not have.
fn outcome(report: &str, succeeded: bool, detached: bool) -> Option<Pushed> {
    let line = report
        .lines()
        .find(|line| line.contains("\tHEAD:") || line.contains(":refs/heads/"))
        .unwrap_or_default();
    match line.chars().next() {
        _ if line.contains("[remote rejected]") => Some(Pushed::Refused { reason: reason(line) }),
        Some('!') if line.contains("[rejected]") => None,
        _ if !succeeded => Some(Pushed::BrokenOff),
        Some('=') => Some(Pushed::OnlyStored),
        _ if detached => Some(Pushed::OnlyStored),
        _ => Some(Pushed::Deployed),
    }
}

/// What stands in the parentheses at the end of a line of the report.
fn reason(line: &str) -> String {
    let said = line.split_once("[remote rejected]").map_or("", |(_, said)| said.trim());
    let said = said.strip_prefix('(').unwrap_or(said);
    said.strip_suffix(')').unwrap_or(said).to_owned()
}

fn not_fast_forward(app: &App) -> CliError {
    let branch = &app.branch;
    CliError::new(
        Exit::Conflict,
        format!("the branch {branch} on the server has commits that HEAD does not have"),
    )
    .next("windlass deploy --force, to deploy HEAD nevertheless")
}

/// The server did not take the commit, and there is no deployment of it.
pub fn refused(reason: &str) -> CliError {
    CliError::new(Exit::DeployFailed, format!("the server refused the push: {reason}"))
        .next("see what it says above, then deploy again")
}

/// Git itself failed, and has said why.
pub fn git_failed() -> CliError {
    CliError::failure("git push failed").next("see git's own message above")
}

/// Ctrl-C while pushing.
pub fn interrupted(app: &str) -> CliError {
    CliError::new(
        Exit::Interrupted,
        "The push was interrupted; a deployment that has begun goes on.",
    )
    .next(format!(
        "windlass deployments -a {app}, or windlass deployments cancel -a {app}"
    ))
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
        let failed = report("!\tHEAD:refs/heads/main\t[remote rejected] (the build failed (twice))");
        let behind = report("!\tHEAD:refs/heads/main\t[rejected] (fetch first)");
        let reason = "the build failed (twice)".to_owned();
        assert_eq!(outcome(&new, true, false), Some(Pushed::Deployed));
        assert_eq!(outcome(&new, true, true), Some(Pushed::OnlyStored));
        assert_eq!(outcome(&same, true, false), Some(Pushed::OnlyStored));
        assert_eq!(outcome(&failed, false, false), Some(Pushed::Refused { reason }));
        assert_eq!(outcome(&behind, false, false), None);
        assert_eq!(outcome("", false, false), Some(Pushed::BrokenOff));
    }
}
