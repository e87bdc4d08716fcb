//! How an app is built, checked and limited: as it is, and as it is changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{
    ToSchema,
    openapi::schema::{ObjectBuilder, OneOfBuilder, Ref, Schema, SchemaType, Type},
};

use crate::{Builder, Change};

/// How a revision becomes an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildSettings {
    /// Which builder to use.
    pub builder: Builder,
    /// The Dockerfile, relative to the context directory; null: `Dockerfile`.
    #[schema(example = "docker/Dockerfile")]
    pub dockerfile: Option<String>,
    /// The directory of the repository that is built; null: its root.
    #[schema(example = "services/shop")]
    pub context: Option<String>,
    /// The stage of the Dockerfile to build; null: the last.
    #[schema(example = "runtime")]
    pub target: Option<String>,
    /// Build args given as they stand.
    #[schema(example = json!({"RELEASE": "stable"}))]
    pub args: BTreeMap<String, String>,
    /// Config vars that are passed as build args under their own names. All others reach a build only as secret mounts.
    #[schema(example = json!(["NPM_REGISTRY"]))]
    pub config_args: Vec<String>,
    /// Whether submodules are fetched.
    #[schema(example = false)]
    pub submodules: bool,
    /// How long a build may take, in seconds.
    #[schema(example = 1800)]
    pub timeout_seconds: u32,
}

impl From<windlass_domain::BuildSettings> for BuildSettings {
    fn from(build: windlass_domain::BuildSettings) -> Self {
        Self {
            builder: build.builder.into(),
            dockerfile: build.dockerfile,
            context: build.context,
            target: build.target,
            args: build.args,
            config_args: build.config_args,
            submodules: build.submodules,
            timeout_seconds: build.timeout_seconds,
        }
    }
}

/// How an instance shows that it is ready, and later that it still lives. Without a path it is a TCP connect to the port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthCheck {
    /// An HTTP path that must answer with one of the statuses; null: a TCP connect.
    #[schema(example = "/healthz")]
    pub path: Option<String>,
    /// The statuses that count as healthy: numbers and ranges.
    #[schema(example = "200-399")]
    pub status: String,
    /// The port that is checked, of process types other than `web`; `web` has the app's.
    #[schema(example = 9000)]
    pub port: Option<u16>,
    /// Seconds between two checks of an instance that is healthy; 0: it is not checked again.
    #[schema(example = 10)]
    pub interval_seconds: u32,
    /// Milliseconds that one check may take.
    #[schema(example = 2000)]
    pub timeout_ms: u32,
    /// Checks in a row that must fail before a healthy instance is replaced.
    #[schema(example = 3)]
    pub retries: u32,
    /// Seconds that a new instance has to become ready: until then, failed checks mean nothing.
    #[schema(example = 60)]
    pub deadline_seconds: u32,
}

impl From<windlass_domain::HealthCheck> for HealthCheck {
    fn from(health: windlass_domain::HealthCheck) -> Self {
        Self {
            path: health.path,
            status: health.status.into(),
            port: health.port,
            interval_seconds: health.interval_seconds,
            timeout_ms: health.timeout_ms,
            retries: health.retries,
            deadline_seconds: health.deadline_seconds,
        }
    }
}

/// When a release that just went live is rolled back by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Watch {
    /// How long it is watched, in seconds; 0: not at all.
    #[schema(example = 60)]
    pub seconds: u32,
    /// So many ends of its instances are too many; all of a process type at once are one end.
    #[schema(example = 2)]
    pub crashes: u32,
    /// So many answers of a hundred with a status of 500 or more are too many.
    #[schema(example = 50)]
    pub error_percent: u32,
    /// Answers before their statuses are judged.
    #[schema(example = 20)]
    pub min_requests: u32,
}

impl From<windlass_domain::Watch> for Watch {
    fn from(watch: windlass_domain::Watch) -> Self {
        Self {
            seconds: watch.seconds,
            crashes: watch.crashes,
            error_percent: watch.error_percent,
            min_requests: watch.min_requests,
        }
    }
}

/// What one instance may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Limits {
    /// Memory in bytes.
    #[schema(example = 536_870_912)]
    pub memory_bytes: u64,
    /// CPU in thousandths of a core.
    #[schema(example = 1000)]
    pub cpu_millis: u32,
    /// Processes and threads.
    #[schema(example = 512)]
    pub pids: u32,
}

impl From<windlass_domain::Limits> for Limits {
    fn from(limits: windlass_domain::Limits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes,
            cpu_millis: limits.cpu_millis,
            pids: limits.pids,
        }
    }
}

/// What to change of the build settings. An absent field stays as it is; null is the default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BuildChanges {
    /// Which builder to use.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<Builder>, example = "dockerfile")]
    pub builder: Change<Builder>,
    /// The Dockerfile, relative to the context directory.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<String>, example = "docker/Dockerfile")]
    pub dockerfile: Change<String>,
    /// The directory of the repository that is built.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<String>, example = "services/shop")]
    pub context: Change<String>,
    /// The stage of the Dockerfile to build.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<String>, example = "runtime")]
    pub target: Change<String>,
    /// Build args, all of them.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<BTreeMap<String, String>>, example = json!({"RELEASE": "stable"}))]
    pub args: Change<BTreeMap<String, String>>,
    /// Config vars that are passed as build args, all of them.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<Vec<String>>, example = json!(["NPM_REGISTRY"]))]
    pub config_args: Change<Vec<String>>,
    /// Whether submodules are fetched.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<bool>, example = true)]
    pub submodules: Change<bool>,
    /// How long a build may take, in seconds.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<u32>, example = 1800, minimum = 10, maximum = 21600)]
    pub timeout_seconds: Change<u32>,
}

/// What to change of the health check. An absent field stays as it is; null is the default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthChanges {
    /// An HTTP path that must answer with one of the statuses.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<String>, example = "/healthz")]
    pub path: Change<String>,
    /// The statuses that count as healthy: numbers and ranges.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<String>, example = "200-399,404")]
    pub status: Change<String>,
    /// The port that is checked, of process types other than `web`.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<u16>, example = 9000, minimum = 1)]
    pub port: Change<u16>,
    /// Seconds between two checks of an instance that is healthy; 0: it is not checked again.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<u32>, example = 10, maximum = 3600)]
    pub interval_seconds: Change<u32>,
    /// Milliseconds that one check may take.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<u32>, example = 2000, minimum = 100, maximum = 60000)]
    pub timeout_ms: Change<u32>,
    /// Checks in a row that must fail before a healthy instance is replaced.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<u32>, example = 3, minimum = 1, maximum = 100)]
    pub retries: Change<u32>,
    /// Seconds that a new instance has to become ready.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<u32>, example = 60, minimum = 1, maximum = 3600)]
    pub deadline_seconds: Change<u32>,
}

/// Health checks to set by process type, and with null those to remove. All others stay.
pub type ProcessHealthChanges = BTreeMap<String, Option<HealthChanges>>;

/// The schema of [`ProcessHealthChanges`]: the derive knows no map of optional objects.
pub(crate) fn process_health_changes() -> Schema {
    let change = OneOfBuilder::new()
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .item(Ref::from_schema_name("HealthChanges"))
        .build();
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .additional_properties(Some(Schema::OneOf(change)))
        .description(Some(
            "How instances of process types other than `web` show that they are ready; each needs a `port`. Those that are not \
             named stay, and null removes one.",
        ))
        .examples([serde_json::json!({"worker": {"port": 9000, "path": "/healthz"}})])
        .into()
}

/// What to change of the watch. An absent field stays as it is; null is the default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WatchChanges {
    /// How long a release that just went live is watched, in seconds; 0: not at all.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<u32>, example = 60, maximum = 3600)]
    pub seconds: Change<u32>,
    /// So many ends of its instances are too many; all of a process type at once are one end.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<u32>, example = 2, minimum = 1, maximum = 1000)]
    pub crashes: Change<u32>,
    /// So many answers of a hundred with a status of 500 or more are too many.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<u32>, example = 50, minimum = 1, maximum = 100)]
    pub error_percent: Change<u32>,
    /// Answers before their statuses are judged.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<u32>, example = 20)]
    pub min_requests: Change<u32>,
}

/// What to change of the limits. An absent field stays as it is; null is the default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitChanges {
    /// Memory in bytes.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<u64>, example = 536_870_912, minimum = 16_777_216)]
    pub memory_bytes: Change<u64>,
    /// CPU in thousandths of a core.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<u32>, example = 1000, minimum = 10, maximum = 1_024_000)]
    pub cpu_millis: Change<u32>,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<u32>, example = 512, minimum = 8, maximum = 1_000_000)]
    pub pids: Change<u32>,
}
