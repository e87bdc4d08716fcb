//! Cancelling: what waits ends at once, what runs is ended by its worker.

use sqlx::PgConnection;
use windlass_domain::{AppId, DeploymentId, DeploymentStatus, LogSource, TeamId, TokenId};

use crate::{
    DeploymentRow, Event, Store, StoreError, deployment_log::append, deployments::select_deployments, error::word,
    events::notify,
};

/// What became of the wish to cancel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelOutcome {
    /// A waiting deployment is cancelled already; a running one will be by its worker.
    Requested(Box<DeploymentRow>),
    /// It had ended before.
    AlreadyOver(DeploymentStatus),
    /// There is no such deployment.
    NotFound,
}

impl Store {
    /// Cancels a waiting deployment at once; asks the worker of a running one to stop.
    pub async fn request_cancel(
        &self,
        team: TeamId,
        app: AppId,
        deployment: DeploymentId,
        by: TokenId,
    ) -> Result<CancelOutcome, StoreError> {
        let mut tx = self.begin().await?;
        let status = sqlx::query_scalar!(
            "select status from deployments where id = $1 and app_id = $2 and team_id = $3 for no key update",
            deployment.uuid(),
            app.uuid(),
            team.uuid()
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(status) = status else {
            return Ok(CancelOutcome::NotFound);
        };
        let status = word("status", &status, DeploymentStatus::parse)?;
        if status.is_terminal() {
            return Ok(CancelOutcome::AlreadyOver(status));
        }
        mark_cancelled(&mut tx, deployment, Some(by)).await?;
        if status == DeploymentStatus::Pending {
            end_pending(&mut tx, deployment).await?;
        }
        notify(&mut tx, Event::Deployment { app, deployment }).await?;
        let row = select_deployments!("where d.id = $1", deployment.uuid())
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(CancelOutcome::Requested(Box::new(row.try_into()?)))
    }
}

/// Cancels all that waits for the app, and asks the worker of what runs to stop.
pub(crate) async fn cancel_all(connection: &mut PgConnection, app: AppId) -> Result<(), sqlx::Error> {
    let open = sqlx::query!(
        "select id, status from deployments where app_id = $1 and status in ('pending', 'running')
         order by id for no key update",
        app.uuid()
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in open {
        let deployment = DeploymentId::from_uuid(row.id);
        mark_cancelled(connection, deployment, None).await?;
        if row.status == DeploymentStatus::Pending.as_str() {
            end_pending(connection, deployment).await?;
        }
        notify(connection, Event::Deployment { app, deployment }).await?;
    }
    Ok(())
}

async fn mark_cancelled(
    connection: &mut PgConnection,
    deployment: DeploymentId,
    by: Option<TokenId>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into deployment_cancels (deployment_id, team_id, requested_by)
         select id, team_id, $2 from deployments where id = $1 on conflict do nothing",
        deployment.uuid(),
        by.map(TokenId::uuid)
    )
    .execute(&mut *connection)
    .await?;
    // Nobody is there to hear of it when its worker gave it up for a while: the next one shall come at once.
    sqlx::query!(
        "update deployments set lease_until = now() where id = $1 and status = 'running' and lease_holder is null",
        deployment.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn end_pending(connection: &mut PgConnection, deployment: DeploymentId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update deployments set status = 'cancelled', finished_at = now() where id = $1 and status = 'pending'",
        deployment.uuid()
    )
    .execute(&mut *connection)
    .await?;
    let line = (LogSource::Windlass, " !     Cancelled before it began".to_owned());
    append(connection, deployment, &[line]).await?;
    Ok(())
}
