//! The server's answers as the tables need them.
//!
//! These are views, not the API's own types: they hold only what is shown, take states as words and forgive missing fields, so
//! that this program keeps working with a newer server. `--json` never passes through them.

mod plan;

use chrono::{DateTime, Utc};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::error::CliError;

pub use plan::{Plan, PlannedChange, PlannedProcess};

/// Reads one view.
pub fn read<T: DeserializeOwned>(value: &Value) -> Result<T, CliError> {
    T::deserialize(value).map_err(|error| {
        CliError::failure(format!("the server's answer is not understood: {error}"))
            .next("this program may be too old for the server; --json shows the answer as it is")
    })
}

/// Reads a list of views.
pub fn read_all<T: DeserializeOwned>(values: &[Value]) -> Result<Vec<T>, CliError> {
    values.iter().map(read).collect()
}

/// An app.
#[derive(Debug, Clone, Deserialize)]
pub struct App {
    /// Its name.
    pub name: String,
    /// Where it answers.
    pub url: String,
    /// Where it is pushed to, as the server sees itself.
    pub git_url: String,
    /// Such as `new`, `live` or `deploying`.
    #[serde(default)]
    pub status: String,
    /// Where it is fetched from.
    pub repo_url: Option<String>,
    /// The branch that is deployed.
    pub branch: String,
    /// Build settings.
    #[serde(default)]
    pub build: Value,
    /// Health check.
    #[serde(default)]
    pub health: Value,
    /// Health checks of other process types.
    #[serde(default)]
    pub process_health: Value,
    /// How a release takes the place of the one before.
    #[serde(default)]
    pub strategy: String,
    /// What is watched afterwards.
    #[serde(default)]
    pub watch: Value,
    /// Process types that end again and again.
    #[serde(default)]
    pub crash_loops: Vec<CrashLoop>,
    /// Limits.
    #[serde(default)]
    pub limits: Value,
    /// The port of `web`.
    pub port: Option<u16>,
    /// Seconds to drain.
    pub drain_seconds: Option<u32>,
    /// The live release.
    pub release: Option<String>,
    /// The public key for private repositories.
    pub deploy_key: Option<String>,
    /// When it was created.
    pub created_at: Option<DateTime<Utc>>,
}

impl App {
    /// Its status for people.
    pub fn shown_status(&self) -> String {
        dashed(&self.status)
    }
}

/// A word of the API as people write it: `crash-looping`.
pub fn dashed(word: &str) -> String {
    word.replace('_', "-")
}

/// A process type that ends again and again.
#[derive(Debug, Clone, Deserialize)]
pub struct CrashLoop {
    /// The process type.
    pub process: String,
    /// The live release.
    pub release: Option<String>,
    /// How often within ten minutes.
    #[serde(default)]
    pub crashes: u32,
    /// Why the last time.
    pub reason: Option<String>,
    /// The exit code of the last time.
    pub exit_code: Option<i64>,
    /// When the last time.
    pub last_at: Option<DateTime<Utc>>,
}

impl CrashLoop {
    /// How often, and why the last time.
    pub fn why(&self) -> String {
        let last = why_ended(self.reason.as_deref(), self.exit_code);
        let last = if last.is_empty() {
            String::new()
        } else {
            format!(", the last: {last}")
        };
        format!("ended {} times within 10 min{last}", self.crashes)
    }

    /// All of it in a line.
    pub fn told(&self) -> String {
        format!("{} {}", self.process, self.why())
    }
}

/// Why an instance ended. The code is left out where the reason has it.
pub fn why_ended(reason: Option<&str>, exit_code: Option<i64>) -> String {
    let code = exit_code.map(|code| format!("code {code}"));
    let code = code.filter(|code| !reason.is_some_and(|reason| reason.contains(code.as_str())));
    let parts = reason
        .map(str::to_owned)
        .into_iter()
        .chain(code.map(|code| format!("exit {code}")));
    parts.collect::<Vec<_>>().join(", ")
}

/// A deployment.
#[derive(Debug, Clone, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: String,
    /// Its app.
    #[serde(default)]
    pub app: String,
    /// What asked for it: a push, the API, a webhook.
    #[serde(default)]
    pub trigger: Value,
    /// What it makes live.
    #[serde(default)]
    pub kind: Value,
    /// The commit.
    pub commit: Option<String>,
    /// The ref that was asked for.
    pub reference: Option<String>,
    /// The commit's message.
    pub message: Option<String>,
    /// Where it stands.
    pub status: String,
    /// The step that runs.
    pub step: Option<String>,
    /// The release that it made.
    pub release: Option<String>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// The deployment that took its place.
    pub superseded_by: Option<String>,
    /// Where the app answers.
    pub url: Option<String>,
    /// What to know before it begins.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Its steps, when one deployment is asked for.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// When it was asked for.
    pub created_at: Option<DateTime<Utc>>,
    /// When a worker took it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Deployment {
    /// Whether nothing follows.
    pub fn is_over(&self) -> bool {
        !matches!(self.status.as_str(), "pending" | "running")
    }

    /// Its status for people, with what took its place.
    pub fn shown_status(&self) -> String {
        match &self.superseded_by {
            Some(newer) => format!("{} by {newer}", self.status),
            None => self.status.clone(),
        }
    }

    /// What led to it, in a word.
    pub fn trigger(&self) -> &str {
        let tagged = self.trigger.get("type").unwrap_or(&self.trigger);
        tagged.as_str().unwrap_or("-")
    }

    /// Why it ended as it did, or why there is one at all.
    pub fn why(&self) -> &str {
        let by_itself = self.message.as_deref().filter(|_| self.trigger() == "watch");
        let failure = self.failure.as_ref().map(|failure| failure.reason.as_str());
        failure.or(by_itself).unwrap_or_default()
    }

    /// The short commit, or `-`.
    pub fn short_commit(&self) -> String {
        self.commit.as_deref().map_or_else(|| "-".to_owned(), short_commit)
    }
}

/// The first eight digits of a commit.
pub fn short_commit(commit: &str) -> String {
    commit.chars().take(8).collect()
}

/// Why a deployment failed.
#[derive(Debug, Clone, Deserialize)]
pub struct Failure {
    /// What happened.
    pub reason: String,
    /// What was seen.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// What to do.
    pub next_step: Option<String>,
}

/// A step of a deployment.
#[derive(Debug, Clone, Deserialize)]
pub struct Step {
    /// Its name.
    pub step: String,
    /// Which attempt.
    #[serde(default)]
    pub attempt: i64,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub outcome: Option<String>,
}

/// A line of a deployment's log.
#[derive(Debug, Clone, Deserialize)]
pub struct DeploymentLine {
    /// Counts from 1.
    pub seq: i64,
    /// The text.
    pub text: String,
}

/// A line of an app's log.
#[derive(Debug, Clone, Deserialize)]
pub struct LogLine {
    /// When it was written.
    pub at: DateTime<Utc>,
    /// The process type.
    #[serde(default)]
    pub process: String,
    /// The instance, such as `web.1`.
    pub instance: Option<String>,
    /// The text.
    pub text: String,
}

/// A release.
#[derive(Debug, Clone, Deserialize)]
pub struct Release {
    /// Its version, such as `v4`.
    pub version: String,
    /// The deployment that made it.
    pub deployment: Option<String>,
    /// Where that deployment stands.
    #[serde(default)]
    pub status: String,
    /// The commit.
    pub commit: Option<String>,
    /// The version of the config vars.
    pub config_version: Option<i64>,
    /// Its process types.
    #[serde(default)]
    pub processes: Vec<Process>,
    /// What it is.
    pub description: Option<String>,
    /// Whether it is the one that serves.
    #[serde(default)]
    pub live: bool,
    /// Whether one can go back to it.
    #[serde(default)]
    pub image_available: bool,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
}

/// A process type of a release or a formation.
#[derive(Debug, Clone, Deserialize)]
pub struct Process {
    /// Its name.
    pub process: String,
    /// How it is started.
    #[serde(default)]
    pub command: Value,
    /// How many instances are wanted, in a formation.
    #[serde(default)]
    pub quantity: u32,
}

impl Process {
    /// The command in one line, whichever form it has.
    pub fn command_line(&self) -> String {
        command_line(&self.command).unwrap_or_else(|| "(the image's own command)".to_owned())
    }
}

fn command_line(command: &Value) -> Option<String> {
    match command {
        Value::String(line) => Some(line.clone()),
        Value::Array(words) => {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            Some(words.join(" "))
        }
        Value::Object(tagged) => tagged.values().find_map(command_line),
        _ => None,
    }
}

/// An instance.
#[derive(Debug, Clone, Deserialize)]
pub struct Instance {
    /// Its id.
    #[serde(default)]
    pub id: String,
    /// Its name, such as `web.1`.
    pub name: String,
    /// Its process type.
    #[serde(default)]
    pub process: String,
    /// Its release.
    pub release: Option<String>,
    /// Its state.
    pub state: String,
    /// Its health.
    pub health: Option<String>,
    /// Its exit code, if it ended.
    pub exit_code: Option<i64>,
    /// Why it is in this state.
    pub reason: Option<String>,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
}

/// A token.
#[derive(Debug, Clone, Deserialize)]
pub struct Token {
    /// Its id.
    pub id: String,
    /// What it is for.
    #[serde(default)]
    pub name: String,
    /// The token itself, once.
    pub token: Option<String>,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was used last.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Who is asking.
#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    /// The team: a name, or an object with one.
    #[serde(default)]
    pub team: Value,
    /// The token.
    pub token: Option<TokenName>,
    /// The server.
    pub server: Option<ServerFacts>,
}

impl Account {
    /// The team's name.
    pub fn team_name(&self) -> String {
        let name = self.team.get("name").or(Some(&self.team)).and_then(Value::as_str);
        name.unwrap_or("-").to_owned()
    }
}

/// A token without itself.
#[derive(Debug, Clone, Deserialize)]
pub struct TokenName {
    /// Its id.
    #[serde(default)]
    pub id: String,
    /// What it is for.
    #[serde(default)]
    pub name: String,
}

/// A server.
#[derive(Debug, Clone, Deserialize)]
pub struct ServerFacts {
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// The domain of its apps.
    #[serde(default)]
    pub base_domain: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn commands_of_every_form_are_one_line() {
        let line = |command: Value| {
            read::<Process>(&json!({"process": "web", "command": command}))
                .unwrap()
                .command_line()
        };
        assert_eq!(line(json!("node .")), "node .");
        assert_eq!(line(json!({"shell": "node ."})), "node .");
        assert_eq!(line(json!({"exec": ["node", "."]})), "node .");
        assert_eq!(line(Value::Null), "(the image's own command)");
    }

    #[test]
    fn an_exit_code_is_told_once() {
        assert_eq!(why_ended(Some("exited with code 1"), Some(1)), "exited with code 1");
        assert_eq!(
            why_ended(Some("out of memory"), Some(137)),
            "out of memory, exit code 137"
        );
        assert_eq!(why_ended(None, Some(2)), "exit code 2");
        assert_eq!(why_ended(None, None), "");
    }

    #[test]
    fn a_newer_server_is_understood() {
        let deployment: Deployment = read(&json!({"id": "dpl_1", "status": "paused", "novelty": 1})).unwrap();
        assert!(deployment.is_over());
        assert_eq!(deployment.short_commit(), "-");
    }
}
