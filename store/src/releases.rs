//! Releases: never updated, listed newest first.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;
use windlass_domain::{
    AppId, AppSettings, CommitSha, DeploymentId, DeploymentStatus, ImageId, ProcessSpec, ReleaseId, ReleaseVersion,
    TeamId,
};

use crate::{
    Page, PageOf, Store, StoreError,
    deployments::commit,
    error::{count, unreadable, word},
};

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
    /// Where that deployment stands.
    pub status: DeploymentStatus,
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

/// Rows of releases; the tail says which. The deployment that made one goes by `made`.
macro_rules! select_releases {
    ($tail:tt $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::releases::RawRelease,
            r#"select r.id, r.app_id, r.version, r.deployment_id, made.status, r.image_id, i.reference as image_reference,
                      i.digest as image_digest, i.exposed_ports, i.commit_id, r.config_version,
                      r.processes as "processes: sqlx::types::Json<Vec<windlass_domain::ProcessSpec>>",
                      r.settings as "settings: sqlx::types::Json<windlass_domain::AppSettings>",
                      r.description, r.created_at, coalesce(s.live_release_id = r.id, false) as "live!",
                      (i.removed_at is null) as "image_available!"
               from releases r
               join deployments made on made.id = r.deployment_id
               join images i on i.id = r.image_id
               join app_states s on s.app_id = r.app_id "# + $tail
            $(, $arg)*
        )
    };
}
pub(crate) use select_releases;

pub(crate) struct RawRelease {
    pub(crate) id: Uuid,
    pub(crate) app_id: Uuid,
    pub(crate) version: i32,
    pub(crate) deployment_id: Uuid,
    pub(crate) status: String,
    pub(crate) image_id: Uuid,
    pub(crate) image_reference: String,
    pub(crate) image_digest: String,
    pub(crate) exposed_ports: Vec<i32>,
    pub(crate) commit_id: Option<String>,
    pub(crate) config_version: i32,
    pub(crate) processes: Json<Vec<ProcessSpec>>,
    pub(crate) settings: Json<AppSettings>,
    pub(crate) description: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) live: bool,
    pub(crate) image_available: bool,
}

impl TryFrom<RawRelease> for ReleaseRow {
    type Error = StoreError;

    fn try_from(raw: RawRelease) -> Result<Self, StoreError> {
        Ok(Self {
            id: ReleaseId::from_uuid(raw.id),
            app: AppId::from_uuid(raw.app_id),
            version: version(raw.version)?,
            deployment: DeploymentId::from_uuid(raw.deployment_id),
            status: word("status", &raw.status, DeploymentStatus::parse)?,
            image: ImageId::from_uuid(raw.image_id),
            image_reference: raw.image_reference,
            image_digest: raw.image_digest,
            image_ports: ports(&raw.exposed_ports)?,
            commit: commit(raw.commit_id)?,
            config_version: count(raw.config_version)?,
            processes: raw.processes.0,
            settings: raw.settings.0,
            description: raw.description,
            created_at: raw.created_at,
            live: raw.live,
            image_available: raw.image_available,
        })
    }
}

/// Reads the number of a release.
pub(crate) fn version(number: i32) -> Result<ReleaseVersion, StoreError> {
    Ok(ReleaseVersion(count(number)?))
}

/// The number of a release as it is kept; one beyond what can be kept is the number of no release.
pub(crate) fn number(version: ReleaseVersion) -> i32 {
    i32::try_from(version.0).unwrap_or(-1)
}

/// Reads port numbers.
pub(crate) fn ports(numbers: &[i32]) -> Result<Vec<u16>, StoreError> {
    let ports: Result<Vec<u16>, _> = numbers.iter().map(|&number| u16::try_from(number)).collect();
    ports.map_err(unreadable)
}

impl Store {
    /// The app's releases, newest first, also those that never became live.
    pub async fn list_releases(&self, team: TeamId, app: AppId, page: Page) -> Result<PageOf<ReleaseRow>, StoreError> {
        let rows = select_releases!(
            "where r.app_id = $1 and r.team_id = $2 and ($3::uuid is null or r.id < $3) order by r.id desc limit $4",
            app.uuid(),
            team.uuid(),
            page.after,
            page.fetch()
        )
        .fetch_all(self.pool())
        .await?;
        let rows: Result<Vec<ReleaseRow>, _> = rows.into_iter().map(ReleaseRow::try_from).collect();
        Ok(page.cut(rows?, |row| row.id.uuid()))
    }

    /// One release of the app.
    pub async fn release(
        &self,
        team: TeamId,
        app: AppId,
        version: ReleaseVersion,
    ) -> Result<Option<ReleaseRow>, StoreError> {
        let row = select_releases!(
            "where r.app_id = $1 and r.team_id = $2 and r.version = $3",
            app.uuid(),
            team.uuid(),
            number(version)
        )
        .fetch_optional(self.pool())
        .await?;
        row.map(ReleaseRow::try_from).transpose()
    }
}
