//! Deployments as the API sees them: asked for, listed, cancelled.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;
use windlass_domain::{
    AppId, CommitSha, DeploymentId, DeploymentKind, DeploymentStatus, Failure, ReleaseVersion, Step, TeamId, TokenId,
};

use crate::{
    Event, Page, PageOf, Store, StoreError,
    error::{unreadable, word},
    events::notify,
    releases::version,
    text::storable,
};

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
    /// A rollback that somebody asked for.
    Rollback,
    /// A rollback by itself: the release did badly after it went live. The message says how.
    Watch,
    /// The image of the live release is gone from the machine: it is built again by itself. The message says so.
    Rebuild,
}

impl Trigger {
    /// All triggers.
    pub const ALL: [Self; 7] = [
        Self::Push,
        Self::Api,
        Self::Webhook,
        Self::Config,
        Self::Rollback,
        Self::Watch,
        Self::Rebuild,
    ];

    /// The word in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Api => "api",
            Self::Webhook => "webhook",
            Self::Config => "config",
            Self::Rollback => "rollback",
            Self::Watch => "watch",
            Self::Rebuild => "rebuild",
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

/// Rows of deployments; the tail says which.
macro_rules! select_deployments {
    ($tail:tt $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::deployments::RawDeployment,
            r#"select d.id, d.app_id, d.team_id, d.kind as "kind: sqlx::types::Json<windlass_domain::DeploymentKind>",
                      d.trigger, d.commit_id, d.reference, d.message, d.status, d.step, d.attempt,
                      r.version as "release?", d.failure as "failure: sqlx::types::Json<windlass_domain::Failure>",
                      d.superseded_by, (c.deployment_id is not null) as "cancel_requested!",
                      d.created_at, d.started_at, d.finished_at
               from deployments d
               left join releases r on r.deployment_id = d.id
               left join deployment_cancels c on c.deployment_id = d.id "# + $tail
            $(, $arg)*
        )
    };
}
pub(crate) use select_deployments;

pub(crate) struct RawDeployment {
    pub(crate) id: Uuid,
    pub(crate) app_id: Uuid,
    pub(crate) team_id: Uuid,
    pub(crate) kind: Json<DeploymentKind>,
    pub(crate) trigger: String,
    pub(crate) commit_id: Option<String>,
    pub(crate) reference: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) status: String,
    pub(crate) step: Option<String>,
    pub(crate) attempt: i32,
    pub(crate) release: Option<i32>,
    pub(crate) failure: Option<Json<Failure>>,
    pub(crate) superseded_by: Option<Uuid>,
    pub(crate) cancel_requested: bool,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
}

impl TryFrom<RawDeployment> for DeploymentRow {
    type Error = StoreError;

    fn try_from(raw: RawDeployment) -> Result<Self, StoreError> {
        let step = |name: String| word("step", &name, Step::parse);
        Ok(Self {
            id: DeploymentId::from_uuid(raw.id),
            app: AppId::from_uuid(raw.app_id),
            team: TeamId::from_uuid(raw.team_id),
            kind: raw.kind.0,
            trigger: word("trigger", &raw.trigger, Trigger::parse)?,
            commit: commit(raw.commit_id)?,
            reference: raw.reference,
            message: raw.message,
            status: word("status", &raw.status, DeploymentStatus::parse)?,
            step: raw.step.map(step).transpose()?,
            attempt: raw.attempt,
            release: raw.release.map(version).transpose()?,
            failure: raw.failure.map(|failure| failure.0),
            superseded_by: raw.superseded_by.map(DeploymentId::from_uuid),
            cancel_requested: raw.cancel_requested,
            created_at: raw.created_at,
            started_at: raw.started_at,
            finished_at: raw.finished_at,
        })
    }
}

/// Reads a commit id.
pub(crate) fn commit(text: Option<String>) -> Result<Option<CommitSha>, StoreError> {
    text.map(|text| text.parse().map_err(unreadable)).transpose()
}

impl Store {
    /// Asks for a deployment. None: no such app, or it is being deleted.
    pub async fn create_deployment(
        &self,
        team: TeamId,
        app: AppId,
        new: NewDeployment,
    ) -> Result<Option<DeploymentRow>, StoreError> {
        let mut tx = self.begin().await?;
        let row = insert_deployment(&mut tx, team, app, &new).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// The app's deployments, newest first.
    pub async fn list_deployments(
        &self,
        team: TeamId,
        app: AppId,
        page: Page,
    ) -> Result<PageOf<DeploymentRow>, StoreError> {
        let rows = select_deployments!(
            "where d.app_id = $1 and d.team_id = $2 and ($3::uuid is null or d.id < $3) order by d.id desc limit $4",
            app.uuid(),
            team.uuid(),
            page.after,
            page.fetch()
        )
        .fetch_all(self.pool())
        .await?;
        let rows: Result<Vec<DeploymentRow>, _> = rows.into_iter().map(DeploymentRow::try_from).collect();
        Ok(page.cut(rows?, |row| row.id.uuid()))
    }

    /// One deployment of the app.
    pub async fn deployment(
        &self,
        team: TeamId,
        app: AppId,
        deployment: DeploymentId,
    ) -> Result<Option<DeploymentRow>, StoreError> {
        let row = select_deployments!(
            "where d.id = $1 and d.app_id = $2 and d.team_id = $3",
            deployment.uuid(),
            app.uuid(),
            team.uuid()
        )
        .fetch_optional(self.pool())
        .await?;
        row.map(DeploymentRow::try_from).transpose()
    }

    /// The steps of all attempts, in the order they began.
    pub async fn deployment_steps(&self, team: TeamId, deployment: DeploymentId) -> Result<Vec<StepRow>, StoreError> {
        let rows = sqlx::query!(
            "select step, attempt, started_at, finished_at, outcome from deployment_steps
             where deployment_id = $1 and team_id = $2 order by attempt, started_at",
            deployment.uuid(),
            team.uuid()
        )
        .fetch_all(self.pool())
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(StepRow {
                    step: word("step", &row.step, Step::parse)?,
                    attempt: row.attempt,
                    started_at: row.started_at,
                    finished_at: row.finished_at,
                    outcome: row.outcome,
                })
            })
            .collect()
    }
}

/// Makes a deployment and tells of it; none: no such app of the team, or it is being deleted.
pub(crate) async fn insert_deployment(
    connection: &mut PgConnection,
    team: TeamId,
    app: AppId,
    new: &NewDeployment,
) -> Result<Option<DeploymentRow>, StoreError> {
    let id = DeploymentId::generate();
    // The lock keeps a deletion from overlooking this deployment.
    let done = sqlx::query!(
        "insert into deployments (id, team_id, app_id, kind, trigger, commit_id, reference, message, created_by)
         select $3, a.team_id, a.id, $4, $5, $6, $7, $8, $9
         from (select id, team_id from apps where id = $1 and team_id = $2 and deleting_at is null for share) a",
        app.uuid(),
        team.uuid(),
        id.uuid(),
        Json(&new.kind) as _,
        new.trigger.as_str(),
        new.commit.as_ref().map(CommitSha::as_str),
        new.reference.as_deref().map(storable),
        new.message.as_deref().map(storable),
        new.by.map(TokenId::uuid),
    )
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(None);
    }
    notify(connection, Event::Deployment { app, deployment: id }).await?;
    let row = select_deployments!("where d.id = $1", id.uuid())
        .fetch_one(connection)
        .await?;
    Ok(Some(row.try_into()?))
}
