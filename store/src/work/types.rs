//! The values that the worker gives and gets.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use ipnet::Ipv4Net;
use uuid::Uuid;
use windlass_domain::{
    AppId, AppName, AppSettings, CommitSha, DeploymentId, DeploymentKind, Failure, HealthCheck, ImageId, InstanceId,
    ProcessSpec, ProcessType, ReleaseId, Step,
};

use crate::{AppRow, DeploymentRow, InstanceRow, ReleaseRow};

/// One process that works; a new one at each start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WorkerId(pub Uuid);

/// Which deployments a worker has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Any.
    Any,
    /// Only those that need no slot for a build: they are not to be built, or were built already, or a worker that is gone had
    /// given them one.
    Built,
    /// Only those that somebody wants to be ended.
    Cancelled,
    /// Those, and what is in nobody's hands and has been under way for longer than this: it waits no more for what is missing.
    Overdue(Duration),
}

impl Wanted {
    /// From which age on, in seconds, it takes what nothing can be done for.
    pub(super) const fn overdue(self) -> Option<f64> {
        match self {
            Self::Overdue(age) => Some(age.as_secs_f64()),
            Self::Any | Self::Built | Self::Cancelled => None,
        }
    }
}

/// When a deployment that was given up may be claimed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// At once, as a worker wants it that shuts down.
    AtOnce,
    /// After this time; nobody is to blame.
    After(Duration),
    /// After this time; it was a fault of Windlass itself, which counts.
    AfterFault(Duration),
}

impl Again {
    /// How long it rests.
    pub(super) const fn delay(self) -> Duration {
        match self {
            Self::AtOnce => Duration::ZERO,
            Self::After(delay) | Self::AfterFault(delay) => delay,
        }
    }
}

impl Claim {
    /// Whether there is something to build.
    pub fn is_build(&self) -> bool {
        let from_source = matches!(
            self.deployment.kind,
            DeploymentKind::Push { .. } | DeploymentKind::Fetch { .. }
        );
        from_source && self.image.is_none()
    }
}

/// A deployment that is ours for as long as its lease is renewed.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The deployment.
    pub deployment: DeploymentRow,
    /// Its app.
    pub app: AppRow,
    /// The fencing token: every write names it.
    pub attempt: i32,
    /// How many workers died while they held it.
    pub deaths: u32,
    /// How many attempts ended by a fault of Windlass itself.
    pub faults: u32,
    /// The image, when an earlier attempt got that far.
    pub image: Option<ImageRow>,
    /// The release, when an earlier attempt got that far.
    pub release: Option<ReleaseRow>,
}

/// Whether a claimed deployment is still ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// It is, and the lease runs anew.
    Held {
        /// Whether somebody asked to cancel it.
        cancel_requested: bool,
    },
    /// Another worker has it, or it is over: stop.
    Lost,
}

/// How a deployment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is live.
    Succeeded,
    /// It failed; what was live before still is.
    Failed(Failure),
    /// Somebody asked for it.
    Cancelled,
}

/// Whether a release was taken back before it went live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenBack {
    /// It does not go live any more.
    InTime,
    /// It is live.
    TooLate,
}

/// An image that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRow {
    /// Its id.
    pub id: ImageId,
    /// Its app.
    pub app: AppId,
    /// The deployment that built it.
    pub deployment: DeploymentId,
    /// Its name and tag.
    pub reference: String,
    /// Its digest.
    pub digest: String,
    /// The commit it was built from.
    pub commit: Option<CommitSha>,
    /// The process types it declares.
    pub processes: Vec<ProcessSpec>,
    /// The TCP ports it exposes.
    pub exposed_ports: Vec<u16>,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// When it was removed from the machine.
    pub removed_at: Option<DateTime<Utc>>,
}

/// An image to be recorded.
#[derive(Debug, Clone)]
pub struct NewImage {
    /// Its name and tag.
    pub reference: String,
    /// Its digest.
    pub digest: String,
    /// The commit it was built from.
    pub commit: Option<CommitSha>,
    /// The process types it declares.
    pub processes: Vec<ProcessSpec>,
    /// The TCP ports it exposes.
    pub exposed_ports: Vec<u16>,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// A release to be recorded.
#[derive(Debug, Clone)]
pub struct NewRelease {
    /// Its image.
    pub image: ImageId,
    /// The version of the config vars; 0: none.
    pub config_version: u32,
    /// Its process types.
    pub processes: Vec<ProcessSpec>,
    /// The settings that it is made with.
    pub settings: AppSettings,
    /// What it is, in a line.
    pub description: String,
}

/// All that the converge loop needs to know of an app.
#[derive(Debug, Clone)]
pub struct AppWork {
    /// By which all times here are.
    pub clock: Clock,
    /// The app.
    pub app: AppRow,
    /// The subnet of its network.
    pub subnet: Option<Ipv4Net>,
    /// The release that serves.
    pub live: Option<ReleaseRow>,
    /// The release that a deployment is making live.
    pub candidate: Option<ReleaseRow>,
    /// Why the candidate cannot become live.
    pub candidate_failure: Option<Failure>,
    /// Process type, quantity and restart generation as they were set; no entry means 1 for `web` and 0 for others.
    pub formation: Vec<(ProcessType, u32, i32)>,
    /// The live instances, and those that crashed in the last three hours.
    pub instances: Vec<InstanceRow>,
    /// The step by which the release before the live one goes ([`Step::Drain`] or [`Step::Retire`]), while it does.
    pub departing: Option<Step>,
}

/// The database's clock: what it said when it was read, and how much time has gone by since. An outer server may be ahead of this machine
/// or behind it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    read: DateTime<Utc>,
    at: Instant,
}

impl Clock {
    /// That it says this now.
    pub(super) fn says(read: DateTime<Utc>) -> Self {
        Self {
            read,
            at: Instant::now(),
        }
    }

    /// What it says now.
    pub fn now(self) -> DateTime<Utc> {
        self.read + self.at.elapsed()
    }
}

/// An instance to be recorded.
#[derive(Debug, Clone)]
pub struct NewInstance {
    /// Its id.
    pub id: InstanceId,
    /// Its app.
    pub app: AppId,
    /// Its release.
    pub release: ReleaseId,
    /// Its process type.
    pub process: ProcessType,
    /// Its number.
    pub n: u32,
    /// The restart generation it belongs to.
    pub restart_seq: i32,
}

/// A healthy instance that goes on being checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedInstance {
    /// Its id.
    pub id: InstanceId,
    /// Its app.
    pub app: AppName,
    /// Where it listens.
    pub address: SocketAddr,
    /// How it is checked.
    pub check: HealthCheck,
}

/// How an instance ended; nothing for a state that is no end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceEnd {
    /// The exit code.
    pub exit_code: Option<i64>,
    /// Why, in a sentence.
    pub reason: Option<String>,
}

/// A line that an instance printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRunLog {
    /// When.
    pub at: DateTime<Utc>,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// The line.
    pub text: String,
}

/// Lines that one instance printed, and where the collector then stands.
#[derive(Debug, Clone)]
pub struct RunLogBatch {
    /// The app.
    pub app: AppId,
    /// The instance.
    pub instance: InstanceId,
    /// The instance's name, as lines show it.
    pub instance_name: String,
    /// The process type.
    pub process: ProcessType,
    /// The lines, oldest first.
    pub lines: Vec<NewRunLog>,
    /// How far it was collected before it, as the collector knows it.
    pub from_ns: i64,
    /// How far the log is collected with this batch, in nanoseconds since 1970. A batch that does not go beyond what is
    /// recorded was recorded before, and is left out.
    pub cursor_ns: i64,
    /// How many lines of the app are kept, about.
    pub max_lines: u32,
    /// How many bytes of text of the app are kept, about.
    pub max_bytes: u64,
}
