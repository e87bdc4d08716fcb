//! A deployment, as its tables need it.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::short_commit;

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
        let is_by_itself = matches!(self.trigger(), "watch" | "rebuild");
        let by_itself = self.message.as_deref().filter(|_| is_by_itself);
        let failure = self.failure.as_ref().map(|failure| failure.reason.as_str());
        failure.or(by_itself).unwrap_or_default()
    }

    /// The short commit, or `-`.
    pub fn short_commit(&self) -> String {
        self.commit.as_deref().map_or_else(|| "-".to_owned(), short_commit)
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::view::read;

    #[test]
    fn a_newer_server_is_understood() {
        let deployment: Deployment = read(&json!({"id": "dpl_1", "status": "paused", "novelty": 1})).unwrap();
        assert!(deployment.is_over());
        assert_eq!(deployment.short_commit(), "-");
    }
}
