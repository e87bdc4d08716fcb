//! What a deployment would change, as its table needs it.

use serde::Deserialize;
use serde_json::Value;

/// What a deployment would change.
#[derive(Debug, Clone, Deserialize)]
pub struct Plan {
    /// The app.
    #[serde(default)]
    pub app: String,
    /// The release that it would make.
    pub release: String,
    /// The live release.
    pub live: Option<String>,
    /// Where the image would come from.
    #[serde(default)]
    pub image: Value,
    /// Config vars.
    #[serde(default)]
    pub config: PlannedConfig,
    /// Settings.
    #[serde(default)]
    pub settings: Vec<PlannedSetting>,
    /// Process types.
    #[serde(default)]
    pub processes: Vec<PlannedProcess>,
    /// Whether they are guessed.
    #[serde(default)]
    pub processes_assumed: bool,
    /// Routes.
    #[serde(default)]
    pub routes: Vec<PlannedRoute>,
    /// Whether the app would stop answering.
    pub downtime: PlannedDowntime,
    /// What to know before.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What a change of config vars would do.
#[derive(Debug, Clone, Deserialize)]
pub struct ConfigPlan {
    /// Whether anything would be other than it is now.
    pub changed: bool,
    /// The vars.
    #[serde(default)]
    pub config: PlannedConfig,
    /// What their deployment would do.
    pub deployment: Option<Plan>,
}

/// What scaling would do.
#[derive(Debug, Clone, Deserialize)]
pub struct ScalePlan {
    /// Whether anything would be other than it is now.
    pub changed: bool,
    /// Process types.
    #[serde(default)]
    pub processes: Vec<PlannedScale>,
    /// What to know before.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// How many instances of a process type there would be.
#[derive(Debug, Clone, Deserialize)]
pub struct PlannedScale {
    /// The process type.
    pub process: String,
    /// How many are wanted now.
    pub from: u32,
    /// How many would be.
    pub to: u32,
}

/// Names of config vars.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PlannedConfig {
    /// New ones.
    pub added: Vec<String>,
    /// Those with another value.
    pub changed: Vec<String>,
    /// Those that would be gone.
    pub removed: Vec<String>,
}

/// A setting that would differ.
#[derive(Debug, Clone, Deserialize)]
pub struct PlannedSetting {
    /// Its path.
    pub field: String,
    /// What it is.
    #[serde(default)]
    pub from: Value,
    /// What it would be.
    #[serde(default)]
    pub to: Value,
}

/// What would become of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedChange {
    /// It is new.
    Added,
    /// It is other than before.
    Changed,
    /// It would be gone.
    Removed,
    /// It stays, or a newer server has a word for it.
    #[serde(other)]
    Unchanged,
}

/// What would become of the instances of a process type.
#[derive(Debug, Clone, Deserialize)]
pub struct PlannedProcess {
    /// The process type.
    pub process: String,
    /// What would become of it.
    pub change: PlannedChange,
    /// Instances that would start.
    #[serde(default)]
    pub start: u32,
    /// Instances that would stop.
    #[serde(default)]
    pub stop: u32,
    /// How many run at once, at most.
    #[serde(default)]
    pub at_most: u32,
}

/// What would become of a route.
#[derive(Debug, Clone, Deserialize)]
pub struct PlannedRoute {
    /// The host.
    pub host: String,
    /// The path.
    #[serde(default)]
    pub path: String,
    /// The process type that serves it.
    #[serde(default)]
    pub process: String,
    /// What would become of it.
    pub change: PlannedChange,
}

/// Whether the app would stop answering.
#[derive(Debug, Clone, Deserialize)]
pub struct PlannedDowntime {
    /// `none`, `yes` or `not_judged`.
    pub expected: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// For how long, about.
    pub seconds: Option<u32>,
}
