//! What is seen.

use std::net::{IpAddr, SocketAddr};

use chrono::{DateTime, Utc};
use windlass_domain::{AppId, DeploymentId, InstanceId, InstanceName, ReleaseId};

use crate::{ContainerId, Role};

/// What the runtime is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeInfo {
    /// Its name, such as `docker`.
    pub name: String,
    /// Its version, such as `20.10.24`.
    pub version: String,
    /// The API version that was agreed on, such as `1.41`.
    pub api_version: String,
    /// Version 1 or 2 of the kernel's control groups; none if the runtime does not say.
    pub cgroup_version: Option<u8>,
    /// Whether containers live on while the runtime itself is restarted.
    pub live_restore: bool,
    /// Cores that containers can use.
    pub cpus: u32,
    /// Memory of the machine in bytes.
    pub memory_bytes: u64,
}

/// Which containers to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of this engine's.
    All,
    /// Those of one app.
    App(AppId),
}

/// A container that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The container.
    pub container: ContainerId,
    /// Its address in the app's network; none if it has already ended.
    pub address: Option<IpAddr>,
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// The exit code; 128 + n for signal n.
    pub code: i64,
    /// Whether the kernel killed a process of it for want of memory. Says nothing about the code: when a child was killed, the
    /// container itself may well have ended with 0.
    pub oom_killed: bool,
}

/// Where a container stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, but never started.
    Created,
    /// Running (also while it is paused by hand).
    Running,
    /// Between an end and a start that the runtime itself decided on.
    Restarting,
    /// Ended.
    Exited {
        /// How.
        exit: Exit,
        /// When.
        finished_at: Option<DateTime<Utc>>,
    },
    /// Half removed; [`crate::Runtime::remove`] finishes it.
    Dead,
}

impl ContainerState {
    /// Whether its process runs.
    pub const fn is_running(self) -> bool {
        matches!(self, Self::Running)
    }

    /// When it ended, if it did and that is known.
    pub const fn finished_at(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Exited { finished_at, .. } => finished_at,
            _ => None,
        }
    }

    /// How it ended, if it did.
    pub const fn exit(self) -> Option<Exit> {
        match self {
            Self::Exited { exit, .. } => Some(exit),
            _ => None,
        }
    }
}

/// What the runtime says of a running container that has a [`crate::Gate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Its program has not answered yet.
    Starting,
    /// The last answer was that it is healthy.
    Healthy,
    /// The last answer was that it is not, or there was none in time.
    Unhealthy,
}

/// As much of a container as can be seen at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glimpse {
    /// The instance.
    pub instance: InstanceId,
    /// What it is for.
    pub role: Role,
    /// The app.
    pub app: AppId,
    /// Whether its process runs.
    pub running: bool,
}

/// One of our own containers, rebuilt from its labels and from what the runtime says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The runtime's id of it.
    pub container: ContainerId,
    /// The instance.
    pub instance: InstanceId,
    /// App name, process type, release version and number, from the labels.
    pub name: InstanceName,
    /// What it is for.
    pub role: Role,
    /// The app.
    pub app: AppId,
    /// The release.
    pub release: ReleaseId,
    /// The deployment that started it, if one did.
    pub deployment: Option<DeploymentId>,
    /// The restart generation that it belongs to.
    pub restart_seq: i32,
    /// Where it stands.
    pub state: ContainerState,
    /// How its health is, while it runs; none if it was started without a [`crate::Gate`].
    pub health: Option<Health>,
    /// Its address in the app's network, while it runs.
    pub address: Option<IpAddr>,
    /// The port that it is expected to listen on.
    pub port: Option<u16>,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last started.
    pub started_at: Option<DateTime<Utc>>,
    /// The image as it was asked for.
    pub image: String,
}

impl Observed {
    /// Where requests go: address and port, while it runs.
    pub fn socket(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address?, self.port?))
    }
}

/// Which of the two streams a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Where to begin reading a container's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogsFrom {
    /// Only lines written *after* this moment: pass [`RunLogLine::at`] of the last line that you have, and nothing is lost or
    /// doubled.
    pub since: Option<DateTime<Utc>>,
    /// Whether to go on until the container ends.
    pub follow: bool,
    /// Only the last so many lines.
    pub tail: Option<u32>,
}

/// One line that a container wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLogLine {
    /// When the runtime read it; to the nanosecond.
    pub at: DateTime<Utc>,
    /// Where it was written to.
    pub stream: LogStream,
    /// The text, without its line end; bytes that are no UTF-8 have become U+FFFD.
    pub text: String,
}

/// Something that happened to one of our containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeEvent {
    /// The container.
    pub container: ContainerId,
    /// The instance.
    pub instance: InstanceId,
    /// The app.
    pub app: AppId,
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub at: DateTime<Utc>,
}

/// What happened to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was started.
    Started,
    /// It ended.
    Died {
        /// Its exit code.
        code: i64,
    },
    /// The kernel killed a process of it for want of memory.
    Oom,
    /// It was removed.
    Removed,
}

/// One image of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppImage {
    /// The runtime's id of it, such as `sha256:…`.
    pub id: String,
    /// Its references, such as `windlass/shop:dpl_0192…`.
    pub references: Vec<String>,
    /// The deployment that built it, from its labels.
    pub deployment: Option<DeploymentId>,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
    /// Bytes on disk, shared layers included.
    pub size_bytes: u64,
}
