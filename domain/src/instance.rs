//! Instances: one running container of one process type of one release.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AppName, ProcessType, ReleaseVersion};

/// The name of an instance's container: `{app}-{process}-v{release}-{n}`. A label, not an identity: identity is the
/// [`crate::InstanceId`] in the container's labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceName {
    /// The app.
    pub app: AppName,
    /// The process type.
    pub process: ProcessType,
    /// The release.
    pub release: ReleaseVersion,
    /// Counts from 1 within app, process type and release.
    pub n: u32,
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}-{}", self.app, self.process, self.release, self.n)
    }
}

/// Where an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Its container is being made or runs, and its health check has not passed yet.
    Starting,
    /// It passed its health check.
    Healthy,
    /// It passed its health check before, and no longer does.
    Unhealthy,
    /// It gets no new requests and finishes those it has.
    Draining,
    /// Its container ended by itself and shall be replaced.
    Crashed,
    /// It was stopped because it is no longer wanted.
    Stopped,
}

impl InstanceState {
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Starting,
        Self::Healthy,
        Self::Unhealthy,
        Self::Draining,
        Self::Crashed,
        Self::Stopped,
    ];

    /// The word in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
            Self::Crashed => "crashed",
            Self::Stopped => "stopped",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether a container is (or should be) there.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Starting | Self::Healthy | Self::Unhealthy | Self::Draining)
    }
}
