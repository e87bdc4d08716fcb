//! Apps: what is wanted of them.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;
use windlass_domain::{AppId, AppName, AppSettings, ReleaseVersion, Secret, TeamId};

use crate::{
    Event, Page, PageOf, Store, StoreError, cancellation,
    error::{Constraint, unreadable},
    events::notify,
    releases::version,
    seal::Place,
};

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

/// Rows of apps; the tail says which.
macro_rules! select_apps {
    ($tail:tt $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::apps::RawApp,
            r#"select a.id, a.team_id, a.name, a.settings as "settings: sqlx::types::Json<windlass_domain::AppSettings>",
                      r.version as "live?", a.deploy_key_public, a.created_at, a.updated_at, a.deleting_at
               from apps a
               join app_states s on s.app_id = a.id
               left join releases r on r.id = s.live_release_id "# + $tail
            $(, $arg)*
        )
    };
}
pub(crate) use select_apps;

pub(crate) struct RawApp {
    pub(crate) id: Uuid,
    pub(crate) team_id: Uuid,
    pub(crate) name: String,
    pub(crate) settings: Json<AppSettings>,
    pub(crate) live: Option<i32>,
    pub(crate) deploy_key_public: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) deleting_at: Option<DateTime<Utc>>,
}

impl TryFrom<RawApp> for AppRow {
    type Error = StoreError;

    fn try_from(raw: RawApp) -> Result<Self, StoreError> {
        Ok(Self {
            id: AppId::from_uuid(raw.id),
            team: TeamId::from_uuid(raw.team_id),
            name: raw.name.parse().map_err(unreadable)?,
            settings: raw.settings.0,
            live: raw.live.map(version).transpose()?,
            deploy_key_public: raw.deploy_key_public,
            created_at: raw.created_at,
            updated_at: raw.updated_at,
            deleting: raw.deleting_at.is_some(),
        })
    }
}

impl Store {
    /// Makes an app.
    pub async fn create_app(&self, team: TeamId, new: NewApp) -> Result<AppRow, CreateAppError> {
        let id = AppId::generate();
        let mut tx = self.begin().await?;
        self.insert_app(&mut tx, (team, id), &new).await?;
        notify(&mut tx, Event::App(id)).await.map_err(StoreError::from)?;
        let row = select_apps!("where a.id = $1", id.uuid())
            .fetch_one(&mut *tx)
            .await
            .map_err(StoreError::from)?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(row.try_into()?)
    }

    async fn insert_app(
        &self,
        connection: &mut PgConnection,
        (team, id): (TeamId, AppId),
        new: &NewApp,
    ) -> Result<(), CreateAppError> {
        let row = id.uuid().to_string();
        let seal = |place, secret: &Secret<String>| self.inner.sealer.seal(place, secret.expose().as_bytes());
        let inserted = sqlx::query!(
            "insert into apps (id, team_id, name, settings, repo_identity, webhook_secret, deploy_key_public,
                               deploy_key_private)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
            id.uuid(),
            team.uuid(),
            new.name.as_str(),
            Json(&new.settings) as _,
            repo_identity(&new.settings),
            seal(webhook_secret_place(&row), &new.webhook_secret),
            new.deploy_key_public,
            seal(deploy_key_place(&row), &new.deploy_key_private),
        )
        .execute(&mut *connection)
        .await;
        inserted.map_err(|error| match Constraint::violated(&error) {
            Some(Constraint::AppName) => CreateAppError::NameTaken,
            _ => CreateAppError::Store(error.into()),
        })?;
        sqlx::query!(
            "insert into app_states (app_id, team_id) values ($1, $2)",
            id.uuid(),
            team.uuid()
        )
        .execute(connection)
        .await
        .map_err(StoreError::from)?;
        Ok(())
    }

    /// The team's apps, oldest first, with those that are being deleted.
    pub async fn list_apps(&self, team: TeamId, page: Page) -> Result<PageOf<AppRow>, StoreError> {
        let rows = select_apps!(
            "where a.team_id = $1 and ($2::uuid is null or a.id > $2) order by a.id limit $3",
            team.uuid(),
            page.after,
            page.fetch()
        )
        .fetch_all(self.pool())
        .await?;
        let rows: Result<Vec<AppRow>, _> = rows.into_iter().map(AppRow::try_from).collect();
        Ok(page.cut(rows?, |row| row.id.uuid()))
    }

    /// The team's app of this name.
    pub async fn app(&self, team: TeamId, name: &AppName) -> Result<Option<AppRow>, StoreError> {
        let row = select_apps!("where a.team_id = $1 and a.name = $2", team.uuid(), name.as_str())
            .fetch_optional(self.pool())
            .await?;
        row.map(AppRow::try_from).transpose()
    }

    /// The team's app of this id.
    pub async fn app_by_id(&self, team: TeamId, app: AppId) -> Result<Option<AppRow>, StoreError> {
        let row = select_apps!("where a.team_id = $1 and a.id = $2", team.uuid(), app.uuid())
            .fetch_optional(self.pool())
            .await?;
        row.map(AppRow::try_from).transpose()
    }

    /// Sets all settings; they take effect with the next deployment. None: no such app, or it is being deleted.
    pub async fn update_app(
        &self,
        team: TeamId,
        app: AppId,
        settings: &AppSettings,
    ) -> Result<Option<AppRow>, StoreError> {
        sqlx::query!(
            "update apps set settings = $3, repo_identity = $4, updated_at = now()
             where id = $1 and team_id = $2 and deleting_at is null",
            app.uuid(),
            team.uuid(),
            Json(settings) as _,
            repo_identity(settings),
        )
        .execute(self.pool())
        .await?;
        let row = self.app_by_id(team, app).await?;
        Ok(row.filter(|row| !row.deleting))
    }

    /// Asks for the app's deletion: it takes no more deployments, and those that wait or run are cancelled. The worker removes
    /// what there is of it and the row last. False: no such app.
    pub async fn delete_app(&self, team: TeamId, app: AppId) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query!(
            "update apps set deleting_at = coalesce(deleting_at, now()) where id = $1 and team_id = $2",
            app.uuid(),
            team.uuid()
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        cancellation::cancel_all(&mut tx, app).await?;
        notify(&mut tx, Event::App(app)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// What the app's webhooks are signed with.
    pub async fn webhook_secret(&self, team: TeamId, app: AppId) -> Result<Option<Secret<String>>, StoreError> {
        let sealed = sqlx::query_scalar!(
            "select webhook_secret from apps where id = $1 and team_id = $2",
            app.uuid(),
            team.uuid()
        )
        .fetch_optional(self.pool())
        .await?;
        sealed.map(|sealed| self.open_webhook_secret(app, &sealed)).transpose()
    }

    pub(crate) fn open_webhook_secret(&self, app: AppId, sealed: &[u8]) -> Result<Secret<String>, StoreError> {
        let row = app.uuid().to_string();
        Ok(self.inner.sealer.open_text(webhook_secret_place(&row), sealed)?)
    }

    /// Sets what the app's webhooks are signed with; false: no such app.
    pub async fn set_webhook_secret(
        &self,
        team: TeamId,
        app: AppId,
        secret: &Secret<String>,
    ) -> Result<bool, StoreError> {
        let row = app.uuid().to_string();
        let sealed = self
            .inner
            .sealer
            .seal(webhook_secret_place(&row), secret.expose().as_bytes());
        let done = sqlx::query!(
            "update apps set webhook_secret = $3 where id = $1 and team_id = $2",
            app.uuid(),
            team.uuid(),
            sealed
        )
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The private half of the app's deploy key. Worker side: over all teams.
    pub async fn deploy_key(&self, app: AppId) -> Result<Option<Secret<String>>, StoreError> {
        let sealed = sqlx::query_scalar!("select deploy_key_private from apps where id = $1", app.uuid())
            .fetch_optional(self.pool())
            .await?;
        let row = app.uuid().to_string();
        let open = |sealed: Vec<u8>| self.inner.sealer.open_text(deploy_key_place(&row), &sealed);
        Ok(sealed.map(open).transpose()?)
    }
}

/// Takes an app for the rest of the transaction, so that what is decided from its rows stays true; false: no such app of the
/// team, or it is being deleted.
pub(crate) async fn lock_app(connection: &mut PgConnection, team: TeamId, app: AppId) -> Result<bool, sqlx::Error> {
    // `no key`: rows that refer to the app can be inserted meanwhile.
    let found = sqlx::query!(
        "select id from apps where id = $1 and team_id = $2 and deleting_at is null for no key update",
        app.uuid(),
        team.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

fn repo_identity(settings: &AppSettings) -> Option<String> {
    settings.repo_url.as_ref().map(windlass_domain::RepoUrl::identity)
}

fn webhook_secret_place(row: &str) -> Place<'_> {
    Place {
        table: "apps",
        column: "webhook_secret",
        row,
    }
}

fn deploy_key_place(row: &str) -> Place<'_> {
    Place {
        table: "apps",
        column: "deploy_key_private",
        row,
    }
}
