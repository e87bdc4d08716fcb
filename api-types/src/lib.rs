//! What goes over the wire of the HTTP API: requests, answers and problems, with their OpenAPI schemas.
//!
//! One crate, so that the server and its clients cannot disagree. It is pure: it must never know of HTTP, the store or Tokio.
//! Requests refuse unknown fields, because a misspelt setting that is silently ignored is worse than an error; answers may grow,
//! so their readers ignore what they do not know. Names and ids are plain text here: the server parses them and answers with
//! every problem at once.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should stop"))]

mod access;
mod app;
mod change;
mod config;
mod deployment;
mod formation;
mod health;
mod instance;
mod log;
mod page;
mod plan;
mod problem;
mod release;
mod settings;
mod webhook;
mod words;

pub use access::{Account, CreateToken, CreatedToken, RedeemSetupToken, ServerFacts, SetUp, Token, TokenName};
pub use app::{App, AppStatus, CreateApp, UpdateApp};
pub use change::Change;
pub use config::{Config, ConfigChanged, ConfigChanges, ConfigOutcome, ConfigPlan};
pub use deployment::{CreateDeployment, Deployment, DeploymentKind, DeploymentStep, Failure, RollBack, Trigger};
pub use formation::{FormationEntry, PlannedScale, Restart, ScaleFormation, ScaleOutcome, ScalePlan};
pub use health::{Health, Readiness, ReadinessCheck, Verdict};
pub use instance::{CrashLoop, Instance, InstanceHealth};
pub use log::{AppLogLine, DeploymentLogLine, DeploymentLogPage};
pub use page::{Items, Page};
pub use plan::{
    DeploymentPlan, PlannedConfig, PlannedDowntime, PlannedImage, PlannedProcess, PlannedRoute, PlannedSetting,
};
pub use problem::{FieldProblem, Problem};
pub use release::{Process, ProcessCommand, Release};
pub use settings::{
    BuildChanges, BuildSettings, HealthChanges, HealthCheck, LimitChanges, Limits, ProcessHealthChanges, Watch,
    WatchChanges,
};
pub use webhook::{DeliveryDeployment, DeliveryResult, Webhook, WebhookDelivered, WebhookSecret};
pub use words::{
    Builder, DeploymentStatus, DowntimeExpected, FailureCode, InstanceState, LogSource, PlannedChange, Step, Strategy,
};
