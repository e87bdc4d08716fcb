//! Deployments as the API sees them: asked for, listed, cancelled.

use chrono::{DateTime, Utc};
use windlass_domain::{
    AppId, CommitSha, DeploymentId, DeploymentKind, DeploymentStatus, Failure, ReleaseVersion, Step, TeamId, TokenId,
};

use crate::StoreError;

/// What led to a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// A `git push` to the app's own repository.
    Push,
    /// Somebody asked the API.
    Api,
    /// A forge's webhook.
    Webhook,
    /// A change of config vars.
    Config,
    /// A rollback.
    Rollback,
}

impl Trigger {
    /// All triggers.
    pub const ALL: [Self; 5] = [Self::Push, Self::Api, Self::Webhook, Self::Config, Self::Rollback];

    /// The word in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Api => "api",
            Self::Webhook => "webhook",
            Self::Config => "config",
            Self::Rollback => "rollback",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trigger| trigger.as_str() == word)
    }
}

/// A deployment to be made.
#[derive(Debug, Clone)]
pub struct NewDeployment {
    /// What it makes live.
    pub kind: DeploymentKind,
    /// What led to it.
    pub trigger: Trigger,
    /// The ref as the asker named it, for people to read.
    pub reference: Option<String>,
    /// The commit, when it is known already.
    pub commit: Option<CommitSha>,
    /// The commit's message, when it is known already.
    pub message: Option<String>,
    /// Whose token asked for it.
    pub by: Option<TokenId>,
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentRow {
    /// Its id.
    pub id: DeploymentId,
    /// Its app.
    pub app: AppId,
    /// Its team.
    pub team: TeamId,
    /// What it makes live.
    pub kind: DeploymentKind,
    /// What led to it.
    pub trigger: Trigger,
    /// The commit, as soon as it is known.
    pub commit: Option<CommitSha>,
    /// The ref as the asker named it.
    pub reference: Option<String>,
    /// The commit's message.
    pub message: Option<String>,
    /// Where it stands.
    pub status: DeploymentStatus,
    /// The step it is at, or ended at.
    pub step: Option<Step>,
    /// How often it was claimed.
    pub attempt: i32,
    /// The release it made.
    pub release: Option<ReleaseVersion>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// The newer deployment that took its place.
    pub superseded_by: Option<DeploymentId>,
    /// Whether somebody asked to cancel it.
    pub cancel_requested: bool,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it was first claimed.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// One step of one attempt of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRow {
    /// The step.
    pub step: Step,
    /// The attempt.
    pub attempt: i32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// `done`, `failed` or `abandoned`; none while it goes on.
    pub outcome: Option<String>,
}

/// What became of the wish to cancel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelOutcome {
    /// A waiting deployment is cancelled already; a running one will be by its worker.
    Requested(Box<DeploymentRow>),
    /// It had ended before.
    AlreadyOver(DeploymentStatus),
    /// There is no such deployment.
    NotFound,
}

/// Why a rollback was not begun.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// There is no such app, or it is being deleted.
    #[error("there is no such app")]
    NoSuchApp,
    /// Nothing is live that one could go back from.
    #[error("no release is live")]
    NoLiveRelease,
    /// There is no such release.
    #[error("there is no release {0}")]
    NoSuchRelease(ReleaseVersion),
    /// The live release is the first that ever was.
    #[error("there is no earlier release")]
    NothingBefore,
    /// The release's image was removed.
    #[error("the image of release {0} was removed")]
    ImageGone(ReleaseVersion),
    /// The release is live.
    #[error("the release is live already")]
    AlreadyLive,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
