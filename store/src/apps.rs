//! Apps: what is wanted of them.

use chrono::{DateTime, Utc};
use windlass_domain::{AppId, AppName, AppSettings, ReleaseVersion, Secret, TeamId};

use crate::StoreError;

/// An app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppRow {
    /// Its id.
    pub id: AppId,
    /// Its team.
    pub team: TeamId,
    /// Its name.
    pub name: AppName,
    /// Its settings as they are wanted now; a release has those that it was made with.
    pub settings: AppSettings,
    /// The live release; none before the first.
    pub live: Option<ReleaseVersion>,
    /// The public half of its deploy key, in OpenSSH's format.
    pub deploy_key_public: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its settings last changed.
    pub updated_at: DateTime<Utc>,
    /// Whether somebody asked for its deletion.
    pub deleting: bool,
}

/// An app to be made.
#[derive(Debug, Clone)]
pub struct NewApp {
    /// Its name.
    pub name: AppName,
    /// Its settings.
    pub settings: AppSettings,
    /// The public half of its deploy key, in OpenSSH's format.
    pub deploy_key_public: String,
    /// The private half.
    pub deploy_key_private: Secret<String>,
    /// What forges sign their webhooks with.
    pub webhook_secret: Secret<String>,
}

/// Why an app was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateAppError {
    /// An app of this name exists, maybe of another team: names are host names.
    #[error("the name is taken")]
    NameTaken,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
