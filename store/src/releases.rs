//! Releases: never updated, listed newest first.

use chrono::{DateTime, Utc};
use windlass_domain::{AppId, AppSettings, CommitSha, DeploymentId, ImageId, ProcessSpec, ReleaseId, ReleaseVersion};

/// A release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRow {
    /// Its id.
    pub id: ReleaseId,
    /// Its app.
    pub app: AppId,
    /// Its number within the app.
    pub version: ReleaseVersion,
    /// The deployment that made it.
    pub deployment: DeploymentId,
    /// Its image.
    pub image: ImageId,
    /// The image's name and tag.
    pub image_reference: String,
    /// The image's digest.
    pub image_digest: String,
    /// The ports that the image exposes.
    pub image_ports: Vec<u16>,
    /// The commit that the image was built from.
    pub commit: Option<CommitSha>,
    /// The version of the config vars; 0: none.
    pub config_version: u32,
    /// Its process types.
    pub processes: Vec<ProcessSpec>,
    /// The settings that it was made with.
    pub settings: AppSettings,
    /// What it is, in a line.
    pub description: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Whether it is the one that serves.
    pub live: bool,
    /// Whether its image is still there: one can go back to it.
    pub image_available: bool,
}
