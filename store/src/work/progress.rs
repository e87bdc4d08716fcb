//! What a worker records of the deployment that it holds. Each write first makes sure that the attempt is still ours, and keeps
//! it so until the write is done.

use sqlx::{PgConnection, types::Json};
use uuid::Uuid;
use windlass_domain::{AppId, CommitSha, DeploymentId, DeploymentStatus, LogSource, ReleaseId, Step};

use super::types::Outcome;
use crate::{
    Event, Store, StoreError,
    deployment_log::append,
    events::notify,
    text::{storable, storable_failure},
};

/// A deployment that is ours until the transaction ends.
pub(super) struct Held {
    pub(super) app: AppId,
    pub(super) team: Uuid,
}

/// Takes the deployment for the rest of the transaction, if this attempt still holds it.
pub(super) async fn hold(
    connection: &mut PgConnection,
    deployment: DeploymentId,
    attempt: i32,
) -> Result<Option<Held>, sqlx::Error> {
    let row = sqlx::query!(
        "select app_id, team_id from deployments
         where id = $1 and attempt = $2 and status = 'running' and lease_holder is not null for no key update",
        deployment.uuid(),
        attempt
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Held {
        app: AppId::from_uuid(row.app_id),
        team: row.team_id,
    }))
}

impl Store {
    /// Records that a step begins. False: the deployment is no longer ours.
    pub async fn enter_step(&self, deployment: DeploymentId, attempt: i32, step: Step) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let Some(held) = hold(&mut tx, deployment, attempt).await? else {
            return Ok(false);
        };
        sqlx::query!(
            "update deployments set step = $2 where id = $1",
            deployment.uuid(),
            step.as_str()
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "insert into deployment_steps (deployment_id, team_id, step, attempt) values ($1, $2, $3, $4)
             on conflict do nothing",
            deployment.uuid(),
            held.team,
            step.as_str(),
            attempt
        )
        .execute(&mut *tx)
        .await?;
        let app = held.app;
        notify(&mut tx, Event::Deployment { app, deployment }).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Records how a step ended: `done`, `failed` or `abandoned`. False: the deployment is no longer ours.
    pub async fn finish_step(
        &self,
        deployment: DeploymentId,
        attempt: i32,
        step: Step,
        outcome: &str,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let Some(Held { app, .. }) = hold(&mut tx, deployment, attempt).await? else {
            return Ok(false);
        };
        sqlx::query!(
            "update deployment_steps set finished_at = now(), outcome = $4
             where deployment_id = $1 and attempt = $2 and step = $3 and finished_at is null",
            deployment.uuid(),
            attempt,
            step.as_str(),
            outcome
        )
        .execute(&mut *tx)
        .await?;
        notify(&mut tx, Event::Deployment { app, deployment }).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Records which commit it is. False: the deployment is no longer ours.
    pub async fn set_commit(
        &self,
        deployment: DeploymentId,
        attempt: i32,
        commit: &CommitSha,
        message: Option<&str>,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            // What was asked for by itself says why in its message.
            "update deployments
             set commit_id = $3,
                 message = case when trigger in ('watch', 'rebuild') then message else coalesce($4, message) end
             where id = $1 and attempt = $2 and status = 'running' and lease_holder is not null",
            deployment.uuid(),
            attempt,
            commit.as_str(),
            message.map(storable)
        )
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Makes a release the one that the converge loop shall make live, unless an earlier attempt did and it is. False: the
    /// deployment is no longer ours.
    pub async fn set_candidate(
        &self,
        deployment: DeploymentId,
        attempt: i32,
        release: ReleaseId,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let Some(Held { app, .. }) = hold(&mut tx, deployment, attempt).await? else {
            return Ok(false);
        };
        sqlx::query!(
            "update app_states set candidate_release_id = $2, candidate_failure = null
             where app_id = $1 and live_release_id is distinct from $2",
            app.uuid(),
            release.uuid()
        )
        .execute(&mut *tx)
        .await?;
        notify(&mut tx, Event::App(app)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ends a deployment, its steps and, unless it succeeded, its candidacy. One whose release is live is recorded as succeeded. The
    /// same end may be recorded twice. False: the deployment is no longer ours, or ended otherwise.
    pub async fn finish_deployment(
        &self,
        deployment: DeploymentId,
        attempt: i32,
        outcome: Outcome,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let Some(Held { app, .. }) = hold(&mut tx, deployment, attempt).await? else {
            return ended_so(&mut tx, deployment, attempt, status(&outcome)).await;
        };
        conclude(&mut tx, app, deployment, &outcome).await?;
        tx.commit().await?;
        Ok(true)
    }
}

const fn status(outcome: &Outcome) -> DeploymentStatus {
    match outcome {
        Outcome::Succeeded => DeploymentStatus::Succeeded,
        Outcome::Failed(_) => DeploymentStatus::Failed,
        Outcome::Cancelled => DeploymentStatus::Cancelled,
    }
}

/// Ends a deployment that is held, and tells of it. What is live has succeeded, whatever became of the worker that was to see it.
pub(super) async fn conclude(
    connection: &mut PgConnection,
    app: AppId,
    deployment: DeploymentId,
    outcome: &Outcome,
) -> Result<(), sqlx::Error> {
    let is_live = *outcome != Outcome::Succeeded && !withdraw_candidate(connection, app, deployment).await?;
    if is_live {
        let line = "       Its release is live all the same".to_owned();
        append(connection, deployment, &[(LogSource::Windlass, line)]).await?;
    }
    let outcome = if is_live { &Outcome::Succeeded } else { outcome };
    end(connection, deployment, outcome).await?;
    notify(connection, Event::Deployment { app, deployment }).await
}

async fn end(connection: &mut PgConnection, deployment: DeploymentId, outcome: &Outcome) -> Result<(), sqlx::Error> {
    let (failure, open_steps) = match outcome {
        Outcome::Succeeded => (None, "done"),
        Outcome::Failed(failure) => (Some(Json(storable_failure(failure))), "failed"),
        Outcome::Cancelled => (None, "abandoned"),
    };
    sqlx::query!(
        "update deployments set status = $2, failure = $3, finished_at = now(), lease_holder = null, lease_until = null
         where id = $1",
        deployment.uuid(),
        status(outcome).as_str(),
        failure as _
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        // What the release before still does goes on after a success.
        "update deployment_steps set finished_at = now(), outcome = $2
         where deployment_id = $1 and finished_at is null and ($2 <> 'done' or step not in ('drain', 'retire'))",
        deployment.uuid(),
        open_steps
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A release whose deployment is over without success must not become live any more. False: it is.
async fn withdraw_candidate(
    connection: &mut PgConnection,
    app: AppId,
    deployment: DeploymentId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update app_states set candidate_release_id = null, candidate_failure = null
         where app_id = $1 and candidate_release_id = (select id from releases where deployment_id = $2)",
        app.uuid(),
        deployment.uuid()
    )
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 1 {
        notify(connection, Event::App(app)).await?;
        return Ok(true);
    }
    // Only a candidate can go live, so that this stays true.
    let is_live = sqlx::query_scalar!(
        r#"select exists (select from app_states s join releases r on r.id = s.live_release_id
                          where s.app_id = $1 and r.deployment_id = $2) as "is_live!""#,
        app.uuid(),
        deployment.uuid()
    )
    .fetch_one(connection)
    .await?;
    Ok(!is_live)
}

/// Whether this very attempt ended the deployment in this very way before, or was found to have succeeded when it did.
async fn ended_so(
    connection: &mut PgConnection,
    deployment: DeploymentId,
    attempt: i32,
    status: DeploymentStatus,
) -> Result<bool, StoreError> {
    let found = sqlx::query!(
        "select id from deployments where id = $1 and attempt = $2 and status in ($3, 'succeeded')",
        deployment.uuid(),
        attempt,
        status.as_str()
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}
