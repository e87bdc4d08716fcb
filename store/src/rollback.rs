//! Rollbacks: which release to go back to, and the deployment that does.

use sqlx::PgConnection;
use windlass_domain::{AppId, DeploymentKind, ReleaseVersion, TeamId, TokenId};

use crate::{
    DeploymentRow, NewDeployment, ReleaseRow, Store, StoreError, Trigger,
    apps::lock_app,
    deployments::insert_deployment,
    formation::has_app,
    releases::{number, select_releases, version},
};

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
    /// The release's image was removed, and it is not known from which commit to build it again.
    #[error("the image of release {0} was removed")]
    ImageGone(ReleaseVersion),
    /// The release is live.
    #[error("the release is live already")]
    AlreadyLive,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for RollbackError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Asks for the image and the config vars of an earlier release: of `to`, or else of the newest before the live one that
    /// was live with another image or other config vars. The config vars become the newest version, so that what is shown is
    /// what runs.
    pub async fn create_rollback(
        &self,
        team: TeamId,
        app: AppId,
        to: Option<ReleaseVersion>,
        by: TokenId,
    ) -> Result<DeploymentRow, RollbackError> {
        let mut tx = self.begin().await?;
        if !lock_app(&mut tx, team, app).await? {
            return Err(RollbackError::NoSuchApp);
        }
        let target = target(&mut tx, app, to).await?;
        self.restore_config(&mut tx, app, target.config_version, Some(by))
            .await?;
        let new = NewDeployment {
            kind: DeploymentKind::Rollback { to: target.version },
            trigger: Trigger::Rollback,
            reference: Some(target.version.to_string()),
            commit: target.commit,
            message: None,
            by: Some(by),
        };
        let row = insert_deployment(&mut tx, team, app, &new).await?;
        tx.commit().await?;
        row.ok_or(RollbackError::NoSuchApp)
    }

    /// The release that [`Self::create_rollback`] would go back to, or why it would not. Changes nothing.
    pub async fn rollback_target(
        &self,
        team: TeamId,
        app: AppId,
        to: Option<ReleaseVersion>,
    ) -> Result<ReleaseRow, RollbackError> {
        let mut connection = self.pool().acquire().await?;
        if !has_app(&mut connection, team, app).await? {
            return Err(RollbackError::NoSuchApp);
        }
        target(&mut connection, app, to).await
    }
}

/// The release that a rollback would go back to.
async fn target(
    connection: &mut PgConnection,
    app: AppId,
    to: Option<ReleaseVersion>,
) -> Result<ReleaseRow, RollbackError> {
    let live = live_release(connection, app)
        .await?
        .ok_or(RollbackError::NoLiveRelease)?;
    let target = match to {
        Some(version) => named(connection, app, version).await?,
        None => {
            let first_built = first_built(connection, live).await?;
            before(connection, &first_built).await?
        }
    };
    if target.live {
        return Err(RollbackError::AlreadyLive);
    }
    // With its commit, an image that is gone is built again.
    if !target.image_available && target.commit.is_none() {
        return Err(RollbackError::ImageGone(target.version));
    }
    Ok(target)
}

async fn live_release(connection: &mut PgConnection, app: AppId) -> Result<Option<ReleaseRow>, StoreError> {
    let row = select_releases!("where r.app_id = $1 and s.live_release_id = r.id", app.uuid())
        .fetch_optional(connection)
        .await?;
    row.map(ReleaseRow::try_from).transpose()
}

async fn named(
    connection: &mut PgConnection,
    app: AppId,
    version: ReleaseVersion,
) -> Result<ReleaseRow, RollbackError> {
    let row = select_releases!("where r.app_id = $1 and r.version = $2", app.uuid(), number(version))
        .fetch_optional(connection)
        .await?;
    let row = row.ok_or(RollbackError::NoSuchRelease(version))?;
    Ok(row.try_into()?)
}

/// The release that this one is the rebuild of; itself, if it is none. To the one before it is gone back: the rebuild is the same thing.
async fn first_built(connection: &mut PgConnection, mut release: ReleaseRow) -> Result<ReleaseRow, RollbackError> {
    while let Some(of) = sqlx::query_scalar!(
        r#"select (kind->>'to')::integer as "of!" from deployments where id = $1 and trigger = 'rebuild'"#,
        release.deployment.uuid()
    )
    .fetch_optional(&mut *connection)
    .await?
    {
        release = named(connection, release.app, version(of)?).await?;
    }
    Ok(release)
}

/// The newest release before the live one that was live itself and differs from it.
async fn before(connection: &mut PgConnection, live: &ReleaseRow) -> Result<ReleaseRow, RollbackError> {
    let row = select_releases!(
        "where r.app_id = $1 and r.version < $2 and made.status = 'succeeded' and (r.image_id, r.config_version) <> ($3, $4)
         order by r.version desc limit 1",
        live.app.uuid(),
        number(live.version),
        live.image.uuid(),
        i32::try_from(live.config_version).unwrap_or(i32::MAX)
    )
    .fetch_optional(connection)
    .await?;
    let row = row.ok_or(RollbackError::NothingBefore)?;
    Ok(row.try_into()?)
}
