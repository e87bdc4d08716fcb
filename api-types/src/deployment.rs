//! Deployments.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{DeploymentStatus, FailureCode, Step};

/// One attempt to make a revision or a release live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deployment {
    /// Its id.
    #[schema(example = "dpl_018f3a5e7b7c7d3f9a1b2c3d4e5f6071")]
    pub id: String,
    /// The name of its app.
    #[schema(example = "shop")]
    pub app: String,
    /// What led to it. With `watch`, `message` says why.
    pub trigger: Trigger,
    /// What it makes live.
    pub kind: DeploymentKind,
    /// The commit, as soon as it is known.
    #[schema(example = "366701fde727cb7a9e7f21eb88264f59f6f9b89c")]
    pub commit: Option<String>,
    /// The ref as the asker named it.
    #[schema(example = "main")]
    pub reference: Option<String>,
    /// The first line of the commit's message; of an automatic rollback the reason.
    #[schema(example = "Sell umbrellas too")]
    pub message: Option<String>,
    /// Where it stands.
    pub status: DeploymentStatus,
    /// The step that it is at, or ended at.
    pub step: Option<Step>,
    /// How often a worker took it; more than 1 after a worker was lost.
    #[schema(example = 1)]
    pub attempt: i32,
    /// The release that it made.
    #[schema(example = "v4")]
    pub release: Option<String>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// The newer deployment that took its place.
    #[schema(example = "dpl_018f3a5e7b7c7d3f9a1b2c3d4e5f6072")]
    pub superseded_by: Option<String>,
    /// Whether somebody asked to cancel it.
    #[schema(example = false)]
    pub cancel_requested: bool,
    /// Where the app answers.
    #[schema(example = "https://shop.apps.example.com")]
    pub url: String,
    /// What to know before it begins, such as a downtime. Only in the answer to the request that asked for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["the strategy `recreate` ends all instances before new ones start: nothing answers meanwhile"]))]
    pub warnings: Vec<String>,
    /// What it went through. Present when one deployment is asked for, absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<DeploymentStep>>,
    /// When it was asked for.
    #[schema(example = "2026-11-21T14:00:00Z")]
    pub created_at: DateTime<Utc>,
    /// When a worker first took it.
    #[schema(example = "2026-11-21T14:00:00.02Z")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[schema(example = "2026-11-21T14:00:09Z")]
    pub finished_at: Option<DateTime<Utc>>,
}

/// What led to a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A `git push` to the app's own repository.
    Push,
    /// Somebody asked the API.
    Api,
    /// A forge's webhook.
    Webhook,
    /// A change of config vars.
    Config,
    /// A rollback that somebody asked for.
    Rollback,
    /// A rollback by itself: the release did badly in its first minute.
    Watch,
    /// The image of the live release is gone from the machine: it is built again by itself.
    Rebuild,
}

/// What a deployment makes live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DeploymentKind {
    /// A commit that was pushed into the app's own repository.
    Push {
        /// The commit.
        #[schema(example = "366701fde727cb7a9e7f21eb88264f59f6f9b89c")]
        commit: String,
    },
    /// A ref of the app's `repo_url`, fetched first.
    Fetch {
        /// The ref.
        #[schema(example = "main")]
        reference: String,
        /// The commit; null: whatever the ref points to when it is fetched.
        #[schema(example = "366701fde727cb7a9e7f21eb88264f59f6f9b89c")]
        commit: Option<String>,
    },
    /// The running image with the newest config vars and settings.
    Config,
    /// The image and the config of an earlier release.
    Rollback {
        /// The release.
        #[schema(example = "v3")]
        to: String,
    },
}

impl From<windlass_domain::DeploymentKind> for DeploymentKind {
    fn from(kind: windlass_domain::DeploymentKind) -> Self {
        use windlass_domain::DeploymentKind as Domain;
        match kind {
            Domain::Push { commit } => Self::Push { commit: commit.into() },
            Domain::Fetch { reference, commit } => Self::Fetch {
                reference: reference.into(),
                commit: commit.map(String::from),
            },
            Domain::Config => Self::Config,
            Domain::Rollback { to } => Self::Rollback { to: to.to_string() },
        }
    }
}

/// Why a deployment failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// The kind.
    pub code: FailureCode,
    /// One sentence: what happened.
    #[schema(example = "The app listens on port 5000, but Windlass expects 8080.")]
    pub reason: String,
    /// What was seen: exit code, last log lines, ports that the app did listen on.
    #[schema(example = json!(["listening on 0.0.0.0:5000"]))]
    pub evidence: Vec<String>,
    /// What to do next.
    #[schema(example = "listen on the port in the variable PORT, or set the app's port to 5000")]
    pub next_step: String,
}

impl From<windlass_domain::Failure> for Failure {
    fn from(failure: windlass_domain::Failure) -> Self {
        Self {
            code: failure.code.into(),
            reason: failure.reason,
            evidence: failure.evidence,
            next_step: failure.next_step,
        }
    }
}

/// One step of one attempt of a deployment. `drain` and `retire` may end after the deployment has succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentStep {
    /// The step.
    pub step: Step,
    /// The attempt.
    #[schema(example = 1)]
    pub attempt: i32,
    /// When it began.
    #[schema(example = "2026-11-21T14:00:01Z")]
    pub started_at: DateTime<Utc>,
    /// When it ended; null: it goes on.
    #[schema(example = "2026-11-21T14:00:07Z")]
    pub finished_at: Option<DateTime<Utc>>,
    /// `done`, `failed` or `abandoned`; null: it goes on.
    #[schema(example = "done")]
    pub outcome: Option<String>,
}

/// What to deploy: a ref of the app's `repo_url`, or a commit that was pushed before. With neither, the app's branch of its `repo_url`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CreateDeployment {
    /// A branch, tag or commit of the app's `repo_url`.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    #[schema(example = "main")]
    pub reference: Option<String>,
    /// The full id of a commit that was pushed to the app's own repository before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "366701fde727cb7a9e7f21eb88264f59f6f9b89c")]
    pub commit: Option<String>,
}

/// Where to go back to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RollBack {
    /// The release; absent: the one before the live one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "v3")]
    pub to: Option<String>,
}
