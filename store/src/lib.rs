//! Every SQL statement of Windlass, checked against the schema when it is compiled.
//!
//! [`Store`] is a cheap clone of a connection pool, the sealer of secrets and the hub of events. What the API asks is scoped by
//! a team; what the worker asks (module [`work`]) ranges over all teams, because the worker is the machine itself. This crate
//! must never know of HTTP, containers or git, and must never hand a plaintext secret to Postgres.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should stop"))]

mod apps;
mod cancellation;
mod config;
mod connection;
mod crash_loops;
mod deployment_log;
mod deployments;
mod error;
mod events;
mod formation;
mod installation;
mod instances;
mod page;
mod releases;
mod rollback;
mod run_log;
mod seal;
mod starts;
mod text;
mod token;
mod tokens;
mod webhooks;
pub mod work;

pub use apps::{AppRow, CreateAppError, NewApp};
pub use cancellation::CancelOutcome;
pub use config::{Config, ConfigPatched};
pub use connection::{Store, StoreOptions};
pub use crash_loops::CrashLoopRow;
pub use deployments::{DeploymentRow, NewDeployment, StepRow, Trigger};
pub use error::{ConnectError, MigrateError, SealError, StoreError};
pub use events::Event;
pub use formation::{FormationRow, MAX_QUANTITY, ScaleError};
pub use installation::Installation;
pub use instances::InstanceRow;
pub use page::{Page, PageOf};
pub use releases::ReleaseRow;
pub use rollback::RollbackError;
pub use run_log::RunLogRow;
pub use tokens::{Actor, TokenRow};
pub use webhooks::{Delivered, Delivery, DeliveryRecord, WebhookTarget};
pub use work::{
    Again, AppWork, CheckedInstance, Claim, Clock, CondemnedRelease, Heartbeat, ImageRow, InstanceEnd, NewImage,
    NewInstance, NewRelease, NewRunLog, Outcome, Rebuild, RunLogBatch, TakenBack, Wanted, WatchedRelease, WorkerId,
};
