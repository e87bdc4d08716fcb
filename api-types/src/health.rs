//! Health of the server itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The server lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: Verdict,
    /// The version of Windlass.
    #[schema(example = "0.1.0")]
    pub version: String,
}

/// Whether the server can work, and each thing that it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// `ok` if all checks are.
    pub status: Verdict,
    /// The checks.
    pub checks: Vec<ReadinessCheck>,
}

/// Whether one thing that the server needs is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadinessCheck {
    /// The thing.
    #[schema(example = "postgres")]
    pub name: String,
    /// Whether it is there.
    pub status: Verdict,
    /// What was found, in a line.
    #[schema(example = "PostgreSQL 15.14")]
    pub detail: String,
    /// Milliseconds that the check took.
    #[schema(example = 2)]
    pub millis: u64,
}

/// Good or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Good.
    Ok,
    /// Not good.
    Failing,
}
