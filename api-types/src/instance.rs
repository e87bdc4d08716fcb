//! Instances.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::InstanceState;

/// One container of one process type of one release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Instance {
    /// Its id.
    #[schema(example = "inst_018f3a5e7b7c7d3f9a1b2c3d4e5f6071")]
    pub id: String,
    /// Its name within the app.
    #[schema(example = "web.1")]
    pub name: String,
    /// Its process type.
    #[schema(example = "web")]
    pub process: String,
    /// Its release.
    #[schema(example = "v4")]
    pub release: String,
    /// Where it stands.
    pub state: InstanceState,
    /// What its health check says.
    pub health: InstanceHealth,
    /// Where it listens.
    #[schema(example = "10.210.0.3:8080")]
    pub address: Option<String>,
    /// The id of its container.
    #[schema(example = "9f86d081884c7d659a2feaa0c55ad015")]
    pub container: Option<String>,
    /// The exit code of an ended one.
    #[schema(example = 1)]
    pub exit_code: Option<i64>,
    /// Why it ended, in a sentence; `out of memory` when it used more than its limit.
    #[schema(example = "exited with code 1")]
    pub reason: Option<String>,
    /// When it was made.
    #[schema(example = "2026-11-21T14:00:07Z")]
    pub created_at: DateTime<Utc>,
    /// When it first passed its health check.
    #[schema(example = "2026-11-21T14:00:08Z")]
    pub healthy_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[schema(example = "2026-11-21T15:00:00Z")]
    pub finished_at: Option<DateTime<Utc>>,
}

/// A process type that ends again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CrashLoop {
    /// The process type.
    #[schema(example = "web")]
    pub process: String,
    /// The live release.
    #[schema(example = "v4")]
    pub release: String,
    /// How often an instance of it ended within the last twenty minutes.
    #[schema(example = 5)]
    pub crashes: u32,
    /// Why the last one ended, in a sentence; `out of memory` when it used more than its limit.
    #[schema(example = "exited with code 1")]
    pub reason: Option<String>,
    /// The exit code of the last one.
    #[schema(example = 1)]
    pub exit_code: Option<i64>,
    /// When the last one ended. The pause before the next start grows from 1 second to 5 minutes.
    #[schema(example = "2026-11-21T15:00:00Z")]
    pub last_at: DateTime<Utc>,
}

/// What the health check of an instance says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstanceHealth {
    /// It passes.
    Passing,
    /// It passed before, and no longer does.
    Failing,
    /// It has not passed yet.
    Starting,
    /// Nothing is checked: the instance drains or has ended.
    None,
}

impl From<windlass_domain::InstanceState> for InstanceHealth {
    fn from(state: windlass_domain::InstanceState) -> Self {
        use windlass_domain::InstanceState as State;
        match state {
            State::Starting => Self::Starting,
            State::Healthy => Self::Passing,
            State::Unhealthy => Self::Failing,
            State::Draining | State::Crashed | State::Stopped => Self::None,
        }
    }
}
