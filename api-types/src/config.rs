//! Config vars.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Deployment, DeploymentPlan, PlannedConfig};

/// The config vars of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Config {
    /// Counts from 1 with each change; 0: none were ever set.
    #[schema(example = 4)]
    pub version: u32,
    /// The vars.
    #[schema(example = json!({"LOG_LEVEL": "info"}))]
    pub vars: BTreeMap<String, String>,
}

/// The vars to set, and with null those to delete. All others stay.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(example = json!({"LOG_LEVEL": "debug", "OLD_FLAG": null}))]
pub struct ConfigChanges(pub BTreeMap<String, Option<String>>);

/// The config vars after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigChanged {
    /// Counts from 1 with each change.
    #[schema(example = 5)]
    pub version: u32,
    /// The vars.
    #[schema(example = json!({"LOG_LEVEL": "debug"}))]
    pub vars: BTreeMap<String, String>,
    /// Whether anything is other than before.
    #[schema(example = true)]
    pub changed: bool,
    /// The deployment that makes the change live; null: nothing changed, or nothing is live yet.
    pub deployment: Option<Deployment>,
}

/// What a change of config vars would do. Nothing was recorded, and no value is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigPlan {
    /// The name of the app.
    #[schema(example = "shop")]
    pub app: String,
    /// Whether anything would be other than it is now.
    #[schema(example = true)]
    pub changed: bool,
    /// Config vars that would differ from those that are set now.
    pub config: PlannedConfig,
    /// What the deployment of the change would do, compared with what is live; null: nothing would change, or nothing is live yet.
    pub deployment: Option<DeploymentPlan>,
}

/// What a change did, or with `dry_run` what it would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ConfigOutcome {
    /// The change was made.
    Changed(Box<ConfigChanged>),
    /// Nothing was done.
    Planned(Box<ConfigPlan>),
}
