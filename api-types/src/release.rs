//! Releases.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::DeploymentStatus;

/// A release of an app. It never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Release {
    /// Its version.
    #[schema(example = "v4")]
    pub version: String,
    /// Its version as a number.
    #[schema(example = 4)]
    pub number: u32,
    /// The deployment that made it.
    #[schema(example = "dpl_018f3a5e7b7c7d3f9a1b2c3d4e5f6071")]
    pub deployment: String,
    /// Where that deployment stands: only a release of one that succeeded was ever live.
    pub status: DeploymentStatus,
    /// Its image.
    #[schema(example = "windlass/shop:dpl_018f3a5e7b7c7d3f9a1b2c3d4e5f6071")]
    pub image: String,
    /// The commit that the image was built from.
    #[schema(example = "366701fde727cb7a9e7f21eb88264f59f6f9b89c")]
    pub commit: Option<String>,
    /// The version of its config vars; 0: none.
    #[schema(example = 5)]
    pub config_version: u32,
    /// Its process types.
    pub processes: Vec<Process>,
    /// What it is, in a line.
    #[schema(example = "Deploy 366701fd")]
    pub description: String,
    /// Whether it is the one that serves.
    #[schema(example = true)]
    pub live: bool,
    /// Whether its image is still there. One that is gone is built again when one goes back to the release.
    #[schema(example = true)]
    pub image_available: bool,
    /// When it was made.
    #[schema(example = "2026-11-21T14:00:07Z")]
    pub created_at: DateTime<Utc>,
}

/// A process type and how it is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Process {
    /// Its name.
    #[schema(example = "web")]
    pub process: String,
    /// How it is started; null: the image's own entry point and command.
    pub command: Option<ProcessCommand>,
}

impl From<windlass_domain::ProcessSpec> for Process {
    fn from(spec: windlass_domain::ProcessSpec) -> Self {
        Self {
            process: spec.process.into(),
            command: spec.command.map(ProcessCommand::from),
        }
    }
}

/// How a process is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProcessCommand {
    /// A line of a Procfile, run by the container's shell.
    #[schema(example = "node server.js")]
    Shell(String),
    /// An argument vector.
    Exec(Vec<String>),
}

impl From<windlass_domain::release::ProcessCommand> for ProcessCommand {
    fn from(command: windlass_domain::release::ProcessCommand) -> Self {
        use windlass_domain::release::ProcessCommand as Domain;
        match command {
            Domain::Shell(line) => Self::Shell(line),
            Domain::Exec(words) => Self::Exec(words),
        }
    }
}
