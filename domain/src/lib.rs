//! The vocabulary of Windlass: typed ids, validated names, state machines and secrets.
//!
//! Everything here is pure. This crate must never know of Tokio, SQL, HTTP, Docker, git, the environment or the clock:
//! whoever needs the time passes it in.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should stop"))]

pub mod app;
pub mod deployment;
pub mod failure;
pub mod health;
pub mod id;
pub mod instance;
pub mod labels;
pub mod log;
pub mod name;
pub mod preview;
pub mod procfile;
pub mod release;
pub mod repo_url;
pub mod route;
pub mod secret;
pub mod strategy;
pub mod tree;

pub use app::{AppSettings, BuildSettings, Limits};
pub use deployment::{DeploymentKind, DeploymentStatus, Step};
pub use failure::{Failure, FailureCode};
pub use health::{HealthCheck, StatusSet};
pub use id::{AppId, DeploymentId, ImageId, InstanceId, ReleaseId, TeamId, TokenId};
pub use instance::{InstanceName, InstanceState};
pub use log::{LogLine, LogSource};
pub use name::{AppName, BranchName, CommitSha, ConfigKey, GitRef, Hostname, NameError, ProcessType};
pub use procfile::Procfile;
pub use release::{ProcessSpec, ReleaseVersion};
pub use repo_url::RepoUrl;
pub use route::{Middleware, Route, RouteTable, Upstream};
pub use secret::{Redactor, Secret};
pub use strategy::{Record, Strategy, Watch};
pub use tree::{EntryKind, ExtraFile, SourceTree, TreeEntry};
