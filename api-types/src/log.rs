//! Lines of log.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::LogSource;

/// One line of a deployment's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentLogLine {
    /// Counts from 1 within the deployment, without gaps.
    #[schema(example = 12)]
    pub seq: i64,
    /// When it was written.
    #[schema(example = "2026-11-21T14:00:03Z")]
    pub at: DateTime<Utc>,
    /// Where it comes from.
    pub source: LogSource,
    /// The text, without its line end; it may hold colour sequences.
    #[schema(example = "-----> Node.js app detected")]
    pub text: String,
}

impl From<windlass_domain::LogLine> for DeploymentLogLine {
    fn from(line: windlass_domain::LogLine) -> Self {
        Self {
            seq: line.seq,
            at: line.at,
            source: line.source.into(),
            text: line.text,
        }
    }
}

/// A part of a deployment's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentLogPage {
    /// The lines, oldest first.
    pub items: Vec<DeploymentLogLine>,
    /// What to give as `after` for the next part; null: there are no more lines yet.
    #[schema(example = 1000)]
    pub next: Option<i64>,
}

/// One line that an instance printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppLogLine {
    /// Grows with each line of the app.
    #[schema(example = 4711)]
    pub id: i64,
    /// When it was printed.
    #[schema(example = "2026-11-21T14:00:10Z")]
    pub at: DateTime<Utc>,
    /// The process type.
    #[schema(example = "web")]
    pub process: String,
    /// The instance.
    #[schema(example = "web.1")]
    pub instance: String,
    /// `stdout` or `stderr`.
    #[schema(example = "stdout")]
    pub stream: String,
    /// The line, without its end.
    #[schema(example = "GET / 200")]
    pub text: String,
}
