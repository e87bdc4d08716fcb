//! Why a deployment failed, in the words of the user's world: the reason, the evidence and the next step.

use serde::{Deserialize, Serialize};

/// What kind of failure it is. Stable: scripts and documentation refer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The repository is missing, private or does not answer.
    RepositoryUnavailable,
    /// The repository or the revision is larger than allowed.
    RepositoryTooLarge,
    /// The branch, tag or commit does not exist.
    RefNotFound,
    /// The address of the repository is not allowed.
    RepositoryRefused,
    /// Neither a Dockerfile nor a buildpack fits.
    NoBuilder,
    /// The Dockerfile, Procfile or another build file cannot be used as it stands.
    InvalidBuildFile,
    /// A build step failed.
    BuildFailed,
    /// The build took longer than its timeout.
    BuildTimeout,
    /// The release command failed.
    ReleaseFailed,
    /// A new instance ended before it was ready.
    Exited,
    /// A new instance, or a step of the build, used more memory than allowed.
    OutOfMemory,
    /// A new instance listens, but on another port.
    WrongPort,
    /// A new instance listens on 127.0.0.1 only.
    LoopbackOnly,
    /// A new instance does not listen at all.
    NotListening,
    /// A new instance listens but its health check does not pass.
    Unhealthy,
    /// A limit of the machine: disk, memory, networks.
    MachineLimit,
    /// A fault of Windlass or of Docker, not of the app.
    Internal,
}

/// Why a deployment failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind.
    pub code: FailureCode,
    /// One sentence: what happened.
    pub reason: String,
    /// What was seen: exit code, last log lines, ports that the app did listen on.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// What to do next.
    pub next_step: String,
}

impl Failure {
    /// A failure without evidence; add it with [`Failure::with_evidence`].
    pub fn new(code: FailureCode, reason: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            evidence: Vec::new(),
            next_step: next_step.into(),
        }
    }

    /// The same failure with more evidence.
    #[must_use]
    pub fn with_evidence(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    /// The failure as lines of a log, as `git push` shows them.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(" !     {}", self.reason)];
        lines.extend(self.evidence.iter().map(|line| format!(" !       {line}")));
        lines.push(format!(" !     Next: {}", self.next_step));
        lines
    }
}
