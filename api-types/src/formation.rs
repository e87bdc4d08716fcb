//! Formation: how many instances of each process type are wanted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Items, ProcessCommand};

/// What is wanted of one process type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FormationEntry {
    /// The process type.
    #[schema(example = "web")]
    pub process: String,
    /// How many instances.
    #[schema(example = 2)]
    pub quantity: u32,
    /// How the live release starts it; null: the image's own way, or nothing is live.
    pub command: Option<ProcessCommand>,
}

/// How many instances of which process types; all others stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(example = json!({"web": 3, "worker": 1}))]
pub struct ScaleFormation(pub BTreeMap<String, u32>);

/// What would be wanted of one process type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedScale {
    /// The process type.
    #[schema(example = "web")]
    pub process: String,
    /// How many instances are wanted now.
    #[schema(example = 1)]
    pub from: u32,
    /// How many would be.
    #[schema(example = 3)]
    pub to: u32,
}

/// What scaling would do. Nothing was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScalePlan {
    /// The name of the app.
    #[schema(example = "shop")]
    pub app: String,
    /// Whether anything would be other than it is now.
    #[schema(example = true)]
    pub changed: bool,
    /// All process types, those that would stay as they are, too.
    pub processes: Vec<PlannedScale>,
    /// What to know before.
    #[schema(example = json!(["nothing is live yet: this counts from the first deployment on"]))]
    pub warnings: Vec<String>,
}

/// The formation after scaling, or with `dry_run` what it would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ScaleOutcome {
    /// It was scaled.
    Scaled(Items<FormationEntry>),
    /// Nothing was done.
    Planned(Box<ScalePlan>),
}

/// What to restart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Restart {
    /// The process type; absent: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "worker")]
    pub process: Option<String>,
}
