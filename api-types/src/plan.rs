//! What a deployment would change, without one being made.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{
    ToSchema,
    openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type},
};
use windlass_domain::preview;

use crate::{DeploymentKind, DowntimeExpected, PlannedChange};

/// What a deployment would change. Nothing was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentPlan {
    /// The name of the app.
    #[schema(example = "shop")]
    pub app: String,
    /// What would be made live.
    pub kind: DeploymentKind,
    /// The release that it would make, if no other deployment makes one before.
    #[schema(example = "v4")]
    pub release: String,
    /// The live release, which everything is compared with; null: nothing is live.
    #[schema(example = "v3")]
    pub live: Option<String>,
    /// Where the image would come from.
    pub image: PlannedImage,
    /// Config vars that would differ from those of the live release.
    pub config: PlannedConfig,
    /// Settings that would differ from those of the live release.
    pub settings: Vec<PlannedSetting>,
    /// The process types.
    pub processes: Vec<PlannedProcess>,
    /// Whether the process types are those of the live release, because the commit that would be built is not here yet or cannot
    /// be judged before its build.
    #[schema(example = false)]
    pub processes_assumed: bool,
    /// What would be routed where.
    pub routes: Vec<PlannedRoute>,
    /// Whether the app would stop answering for a while.
    pub downtime: PlannedDowntime,
    /// What to know before.
    #[schema(example = json!(["the release command runs before the switch, while v3 serves: both must work with what it changes"]))]
    pub warnings: Vec<String>,
}

/// Where an image would come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum PlannedImage {
    /// It would be built.
    Build {
        /// The commit; null: whatever the ref points to when it is fetched.
        #[schema(example = "366701fde727cb7a9e7f21eb88264f59f6f9b89c")]
        commit: Option<String>,
        /// The ref.
        #[schema(example = "main")]
        reference: Option<String>,
    },
    /// It is that of an earlier release; nothing would be built.
    Reuse {
        /// The release.
        #[schema(example = "v2")]
        release: String,
        /// The commit that it was built from.
        #[schema(example = "366701fde727cb7a9e7f21eb88264f59f6f9b89c")]
        commit: Option<String>,
    },
}

/// Names of config vars that would differ. Their values are never told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PlannedConfig {
    /// New ones.
    #[schema(example = json!(["CACHE_URL"]))]
    pub added: Vec<String>,
    /// Those with another value.
    #[schema(example = json!(["LOG_LEVEL"]))]
    pub changed: Vec<String>,
    /// Those that would be gone.
    #[schema(example = json!(["OLD_FLAG"]))]
    pub removed: Vec<String>,
}

impl From<preview::ConfigDifference> for PlannedConfig {
    fn from(config: preview::ConfigDifference) -> Self {
        let names = |keys: Vec<windlass_domain::ConfigKey>| keys.into_iter().map(String::from).collect();
        Self {
            added: names(config.added),
            changed: names(config.changed),
            removed: names(config.removed),
        }
    }
}

/// A setting that would differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlannedSetting {
    /// Its path, as a JSON pointer.
    #[schema(example = "/health/path")]
    pub field: String,
    /// What the live release has; null: nothing.
    #[schema(schema_with = value_before)]
    pub from: Value,
    /// What the new release would have; null: nothing.
    #[schema(schema_with = value_after)]
    pub to: Value,
}

fn value_before() -> Schema {
    setting_value("What the live release has; null: nothing.", "/health")
}

fn value_after() -> Schema {
    setting_value("What the new release would have; null: nothing.", "/healthz")
}

/// Settings are texts, numbers, yes or no, and lists of texts.
fn setting_value(description: &str, example: &str) -> Schema {
    let texts = ArrayBuilder::new().items(ObjectBuilder::new().schema_type(Type::String));
    let plain = [Type::String, Type::Integer, Type::Boolean, Type::Null];
    plain
        .into_iter()
        .fold(OneOfBuilder::new().item(texts), |one_of, plain| {
            one_of.item(ObjectBuilder::new().schema_type(plain))
        })
        .description(Some(description))
        .examples([example])
        .into()
}

impl From<preview::SettingDifference> for PlannedSetting {
    fn from(setting: preview::SettingDifference) -> Self {
        Self {
            field: setting.field,
            from: setting.from,
            to: setting.to,
        }
    }
}

/// What would become of the instances of a process type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedProcess {
    /// The process type.
    #[schema(example = "web")]
    pub process: String,
    /// Whether the process type is new, has another command, or is gone.
    pub change: PlannedChange,
    /// Instances of the new release that would start.
    #[schema(example = 2)]
    pub start: u32,
    /// Instances of the live release that would stop.
    #[schema(example = 2)]
    pub stop: u32,
    /// How many run at once, at most; old ones that only finish their requests come on top.
    #[schema(example = 3)]
    pub at_most: u32,
}

impl From<preview::ProcessPreview> for PlannedProcess {
    fn from(process: preview::ProcessPreview) -> Self {
        Self {
            process: process.process.into(),
            change: process.change.into(),
            start: process.start,
            stop: process.stop,
            at_most: process.at_most,
        }
    }
}

/// What would become of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedRoute {
    /// The host.
    #[schema(example = "shop.apps.example.com")]
    pub host: String,
    /// The path that requests begin with.
    #[schema(example = "/")]
    pub path: String,
    /// The process type that serves it.
    #[schema(example = "web")]
    pub process: String,
    /// What would become of it.
    pub change: PlannedChange,
}

impl From<preview::RoutePreview> for PlannedRoute {
    fn from(route: preview::RoutePreview) -> Self {
        Self {
            host: route.host.into(),
            path: route.path,
            process: route.process.into(),
            change: route.change.into(),
        }
    }
}

/// Whether the app would stop answering for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedDowntime {
    /// Whether it would.
    pub expected: DowntimeExpected,
    /// Why, in a sentence.
    #[schema(example = "new instances take requests when /healthz answers, and only then old ones go")]
    pub reason: String,
    /// For how many seconds, about, from what the last starts took; null: none, or not known.
    #[schema(example = 3)]
    pub seconds: Option<u32>,
    /// Milliseconds that the last starts took until the instance was healthy, newest first.
    #[schema(example = json!([810, 790]))]
    pub last_starts_ms: Vec<u64>,
}
