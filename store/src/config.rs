//! Config vars: whole snapshots, sealed.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use windlass_domain::{AppId, ConfigKey, DeploymentKind, DeploymentStatus, ReleaseId, Secret, TeamId, TokenId};

use crate::{
    DeploymentRow, NewDeployment, Store, StoreError, Trigger,
    apps::lock_app,
    deployments::insert_deployment,
    error::{SealError, count},
    seal::Place,
};

type Vars = BTreeMap<ConfigKey, Secret<String>>;

/// The config vars of an app at one version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Counts from 1; 0 when none were ever set.
    pub version: u32,
    /// The vars.
    pub vars: BTreeMap<ConfigKey, Secret<String>>,
}

/// What a patch led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigPatched {
    /// The config vars as they are now.
    pub config: Config,
    /// Whether the patch changed anything.
    pub changed: bool,
    /// The deployment that makes the change live; none when nothing changed, or nothing is live and no deployment runs.
    pub deployment: Option<DeploymentRow>,
}

impl Config {
    /// The vars after a patch: none removes one.
    pub fn patched(&self, changes: &BTreeMap<ConfigKey, Option<Secret<String>>>) -> Vars {
        let mut vars = self.vars.clone();
        for (key, change) in changes {
            match change {
                Some(value) => vars.insert(key.clone(), value.clone()),
                None => vars.remove(key),
            };
        }
        vars
    }
}

impl Store {
    /// The app's config vars now; none at all for an app that the team does not have.
    pub async fn config(&self, team: TeamId, app: AppId) -> Result<Config, StoreError> {
        let row = sqlx::query!(
            "select version, sealed from config_versions where app_id = $1 and team_id = $2 order by version desc limit 1",
            app.uuid(),
            team.uuid()
        )
        .fetch_optional(self.pool())
        .await?;
        self.open_config(app, row.map(|row| (row.version, row.sealed)))
    }

    /// The config vars that a release was made with. Worker side: over all teams.
    pub async fn config_at(&self, app: AppId, version: u32) -> Result<Config, StoreError> {
        let mut connection = self.pool().acquire().await?;
        self.config_version(&mut connection, app, version).await
    }

    /// The config vars that a release runs with; none if the release is gone. Worker side: over all teams.
    pub async fn config_of_release(&self, release: ReleaseId) -> Result<Option<Config>, StoreError> {
        let mut connection = self.pool().acquire().await?;
        let row = sqlx::query!(
            "select app_id, config_version from releases where id = $1",
            release.uuid()
        )
        .fetch_optional(&mut *connection)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let version = count(row.config_version)?;
        let config = self
            .config_version(&mut connection, AppId::from_uuid(row.app_id), version)
            .await?;
        Ok(Some(config))
    }

    /// Sets and removes config vars. When that changes anything, there is a new version, and a deployment if a release is live or a
    /// deployment runs.
    /// None: no such app, or it is being deleted.
    pub async fn patch_config(
        &self,
        team: TeamId,
        app: AppId,
        changes: &BTreeMap<ConfigKey, Option<Secret<String>>>,
        by: TokenId,
    ) -> Result<Option<ConfigPatched>, StoreError> {
        let mut tx = self.begin().await?;
        if !lock_app(&mut tx, team, app).await? {
            return Ok(None);
        }
        let config = self.newest_config(&mut tx, app).await?;
        let vars = config.patched(changes);
        if vars == config.vars {
            return Ok(Some(ConfigPatched {
                config,
                changed: false,
                deployment: None,
            }));
        }
        let config = self
            .insert_config(&mut tx, app, (config.version, vars), Some(by))
            .await?;
        let deployment = deploy_config(&mut tx, team, app, by).await?;
        tx.commit().await?;
        Ok(Some(ConfigPatched {
            config,
            changed: true,
            deployment,
        }))
    }

    /// Brings an old version to the top, so that the newest version is what a rollback makes live. The app is locked.
    pub(crate) async fn restore_config(
        &self,
        connection: &mut PgConnection,
        app: AppId,
        version: u32,
        by: Option<TokenId>,
    ) -> Result<(), StoreError> {
        let newest = self.newest_config(connection, app).await?;
        let wanted = self.config_version(connection, app, version).await?;
        if wanted.vars != newest.vars {
            self.insert_config(connection, app, (newest.version, wanted.vars), by)
                .await?;
        }
        Ok(())
    }

    async fn newest_config(&self, connection: &mut PgConnection, app: AppId) -> Result<Config, StoreError> {
        let row = sqlx::query!(
            "select version, sealed from config_versions where app_id = $1 order by version desc limit 1",
            app.uuid()
        )
        .fetch_optional(connection)
        .await?;
        self.open_config(app, row.map(|row| (row.version, row.sealed)))
    }

    async fn config_version(
        &self,
        connection: &mut PgConnection,
        app: AppId,
        version: u32,
    ) -> Result<Config, StoreError> {
        if version == 0 {
            return Ok(Config::default());
        }
        let row = sqlx::query!(
            "select version, sealed from config_versions where app_id = $1 and version = $2",
            app.uuid(),
            i32::try_from(version).unwrap_or(i32::MAX)
        )
        .fetch_one(connection)
        .await?;
        self.open_config(app, Some((row.version, row.sealed)))
    }

    async fn insert_config(
        &self,
        connection: &mut PgConnection,
        app: AppId,
        (after, vars): (u32, Vars),
        by: Option<TokenId>,
    ) -> Result<Config, StoreError> {
        let version = after + 1;
        let plaintext: BTreeMap<&str, &str> = vars
            .iter()
            .map(|(key, value)| (key.as_str(), value.expose().as_str()))
            .collect();
        let plaintext = serde_json::to_vec(&plaintext).map(Secret::new);
        let plaintext = plaintext.map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        let sealed = self.inner.sealer.seal(place(&row(app, version)), plaintext.expose());
        sqlx::query!(
            "insert into config_versions (app_id, team_id, version, sealed, created_by)
             select id, team_id, $2, $3, $4 from apps where id = $1",
            app.uuid(),
            i32::try_from(version).unwrap_or(i32::MAX),
            sealed,
            by.map(TokenId::uuid)
        )
        .execute(connection)
        .await?;
        Ok(Config { version, vars })
    }

    fn open_config(&self, app: AppId, found: Option<(i32, Vec<u8>)>) -> Result<Config, StoreError> {
        let Some((version, sealed)) = found else {
            return Ok(Config::default());
        };
        let version = count(version)?;
        let plaintext = self.inner.sealer.open(place(&row(app, version)), &sealed)?;
        let vars: BTreeMap<ConfigKey, String> =
            serde_json::from_slice(plaintext.expose()).map_err(|_| SealError::Broken)?;
        let vars = vars.into_iter().map(|(key, value)| (key, Secret::new(value))).collect();
        Ok(Config { version, vars })
    }
}

/// A deployment of the new config vars, if there is something live to give them to, or if there may soon be: a deployment that
/// runs may have read the old ones.
async fn deploy_config(
    connection: &mut PgConnection,
    team: TeamId,
    app: AppId,
    by: TokenId,
) -> Result<Option<DeploymentRow>, StoreError> {
    // First, lest the one that runs become live and end between the two looks.
    let deploying = is_deploying(connection, app).await?;
    let live = sqlx::query!(
        "select i.commit_id from app_states s
         join releases r on r.id = s.live_release_id
         join images i on i.id = r.image_id
         where s.app_id = $1",
        app.uuid()
    )
    .fetch_optional(&mut *connection)
    .await?;
    if live.is_none() && !deploying {
        return Ok(None);
    }
    let new = NewDeployment {
        kind: DeploymentKind::Config,
        trigger: Trigger::Config,
        reference: None,
        commit: live.and_then(|live| live.commit_id?.parse().ok()),
        message: None,
        by: Some(by),
    };
    insert_deployment(connection, team, app, &new).await
}

/// Whether a deployment of the app runs. None that waits can begin before the transaction ends, so that it will read what is
/// written here.
async fn is_deploying(connection: &mut PgConnection, app: AppId) -> Result<bool, sqlx::Error> {
    let open = sqlx::query_scalar!(
        "select status from deployments where app_id = $1 and status in ('pending', 'running') order by id for share",
        app.uuid()
    )
    .fetch_all(connection)
    .await?;
    Ok(open.iter().any(|status| status == DeploymentStatus::Running.as_str()))
}

fn row(app: AppId, version: u32) -> String {
    format!("{}:{version}", app.uuid())
}

fn place(row: &str) -> Place<'_> {
    Place {
        table: "config_versions",
        column: "sealed",
        row,
    }
}
