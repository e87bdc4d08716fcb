//! Formation: how many instances of each process type are wanted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ProcessCommand;

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

/// What to restart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Restart {
    /// The process type; absent: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "worker")]
    pub process: Option<String>,
}
