//! An app, as its table needs it.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::{CrashLoop, dashed};

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
