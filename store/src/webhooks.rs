//! Webhooks: whom a push concerns, and the memory of deliveries that keeps a redelivery from deploying twice.

use windlass_domain::{AppId, AppName, BranchName, DeploymentId, Secret, TeamId};

use crate::DeploymentRow;

/// An app that a push to a repository may concern; the signature decides.
#[derive(Debug, Clone)]
pub struct WebhookTarget {
    /// The app.
    pub app: AppId,
    /// Its team.
    pub team: TeamId,
    /// Its name.
    pub name: AppName,
    /// The branch whose pushes are deployed.
    pub branch: BranchName,
    /// What its webhooks are signed with.
    pub secret: Secret<String>,
}

/// One delivery of a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The forge, such as `github`.
    pub forge: String,
    /// The forge's id of the delivery; the same when it delivers again.
    pub id: String,
    /// The event, such as `push`.
    pub event: String,
}

/// A delivery and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// The delivery.
    pub delivery: Delivery,
    /// The app.
    pub app: AppId,
    /// Its team.
    pub team: TeamId,
    /// What became of it, in a word, such as `pong` or `other_branch`.
    pub verdict: String,
    /// The deployment it led to.
    pub deployment: Option<DeploymentId>,
}

/// What a push led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// A deployment.
    Deployed(Box<DeploymentRow>),
    /// Nothing: this delivery was seen before.
    Duplicate,
    /// Nothing: the app is gone or being deleted.
    AppGone,
}
