//! Lines of logs.

use chrono::{DateTime, Utc};
use serde::Deserialize;

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
