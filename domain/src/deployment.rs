//! The state machine of a deployment.

use serde::{Deserialize, Serialize};

use crate::{CommitSha, GitRef, ReleaseVersion};

/// What a deployment makes live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DeploymentKind {
    /// A commit that was pushed into the app's own repository: its objects are there already.
    Push {
        /// The pushed commit.
        commit: CommitSha,
    },
    /// A ref of the app's `repo_url`, fetched first.
    Fetch {
        /// The ref that was asked for.
        reference: GitRef,
        /// The commit, when the asker knows it (a webhook does); none: whatever the ref points to when it is fetched.
        commit: Option<CommitSha>,
    },
    /// The running image with the newest config vars and settings.
    Config,
    /// The image and the config of an earlier release.
    Rollback {
        /// The release to go back to.
        to: ReleaseVersion,
    },
}

/// Where a deployment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentStatus {
    /// Waiting for a worker.
    Pending,
    /// A worker holds it.
    Running,
    /// Live.
    Succeeded,
    /// Ended with a [`crate::Failure`]; what was live before still is.
    Failed,
    /// Ended because somebody asked for it.
    Cancelled,
    /// Ended because a newer one waited behind it.
    Superseded,
}

impl DeploymentStatus {
    /// The states that nothing follows.
    pub const TERMINAL: [Self; 4] = [Self::Succeeded, Self::Failed, Self::Cancelled, Self::Superseded];

    /// Whether nothing follows.
    pub fn is_terminal(self) -> bool {
        Self::TERMINAL.contains(&self)
    }

    /// The word in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Running]
            .into_iter()
            .chain(Self::TERMINAL)
            .find(|status| status.as_str() == word)
    }
}

/// The steps of a deployment, in order. Each is recorded with its attempt, start, end and outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Bring the source in and find the commit.
    Fetch,
    /// Decide how to build it.
    Plan,
    /// Build the image.
    Build,
    /// Record the release and run its release command.
    Release,
    /// Start the new instances.
    Start,
    /// Wait until they are healthy.
    Probe,
    /// Send requests to them: from here on the release is live and the deployment has succeeded.
    Route,
    /// Let the instances of the release before finish the requests that they have. Goes on after the deployment has succeeded, as
    /// does the next step.
    Drain,
    /// Stop and remove them.
    Retire,
}

impl Step {
    /// All steps in order.
    pub const ALL: [Self; 9] = [
        Self::Fetch,
        Self::Plan,
        Self::Build,
        Self::Release,
        Self::Start,
        Self::Probe,
        Self::Route,
        Self::Drain,
        Self::Retire,
    ];

    /// The word in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Plan => "plan",
            Self::Build => "build",
            Self::Release => "release",
            Self::Start => "start",
            Self::Probe => "probe",
            Self::Route => "route",
            Self::Drain => "drain",
            Self::Retire => "retire",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for status in [DeploymentStatus::Pending, DeploymentStatus::Running]
            .into_iter()
            .chain(DeploymentStatus::TERMINAL)
        {
            assert_eq!(DeploymentStatus::parse(status.as_str()), Some(status));
        }
        for step in Step::ALL {
            assert_eq!(Step::parse(step.as_str()), Some(step));
        }
    }

    #[test]
    fn what_runs_is_not_over() {
        assert!(!DeploymentStatus::Running.is_terminal());
        assert!(DeploymentStatus::Superseded.is_terminal());
    }
}
