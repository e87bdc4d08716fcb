//! What is forgotten after a while, so that tables do not grow for ever.

use std::time::Duration;

use uuid::Uuid;
use windlass_domain::{AppId, DeploymentId};

use crate::{Store, StoreError};

impl Store {
    /// Forgets instances that ended longer ago than `older_than`, but no crash of the last three hours, because it may delay the
    /// next start. Returns how many.
    pub async fn sweep_instances(&self, older_than: Duration) -> Result<u64, StoreError> {
        let mut tx = self.begin_unhurried().await?;
        let done = sqlx::query!(
            "delete from instances
             where state in ('crashed', 'stopped') and finished_at < now() - make_interval(secs => $1)
               and (state <> 'crashed' or finished_at < now() - interval '3 hours')",
            older_than.as_secs_f64()
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// Forgets the logs of all but the `keep` newest deployments of each app, never that of one that waits or runs. Returns how
    /// many lines.
    pub async fn sweep_deployment_logs(&self, keep: u32) -> Result<u64, StoreError> {
        let mut tx = self.begin_unhurried().await?;
        let done = sqlx::query!(
            "delete from deployment_log l
             using (select id, status, row_number() over (partition by app_id order by id desc) as age
                    from deployments) d
             where l.deployment_id = d.id and d.age > $1 and d.status not in ('pending', 'running')",
            i64::from(keep)
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// Which of these deployments of an app nobody goes back to the source of: they are over, and no release has the image that they
    /// built. A release whose image is gone is built again from its commit, so all releases count. A deployment without a row is
    /// not among them.
    pub async fn forgettable_deployments(
        &self,
        app: AppId,
        deployments: &[DeploymentId],
    ) -> Result<Vec<DeploymentId>, StoreError> {
        let asked: Vec<Uuid> = deployments.iter().map(|deployment| deployment.uuid()).collect();
        let rows = sqlx::query_scalar!(
            "select d.id from deployments d
             where d.app_id = $1 and d.id = any($2) and d.status not in ('pending', 'running')
               and not exists (select from images i join releases r on r.image_id = i.id
                               where i.deployment_id = d.id and r.app_id = d.app_id)
             order by d.id",
            app.uuid(),
            &asked
        )
        .fetch_all(self.pool())
        .await?;
        Ok(rows.into_iter().map(DeploymentId::from_uuid).collect())
    }

    /// Forgets whole logs of the oldest deployments of each app, until what is left has at most `max_bytes` of text; never that of
    /// one that waits or runs. Returns how many lines. Reads all logs: not for every minute.
    pub async fn bound_deployment_logs(&self, max_bytes: u64) -> Result<u64, StoreError> {
        let mut tx = self.begin_unhurried().await?;
        let done = sqlx::query!(
            "delete from deployment_log l
             using (select d.id, sum(sizes.bytes) over (partition by d.app_id order by d.id desc)::bigint as bytes, d.status
                    from deployments d
                    join (select deployment_id, sum(octet_length(text)) as bytes
                          from deployment_log group by deployment_id) sizes on sizes.deployment_id = d.id) d
             where l.deployment_id = d.id and d.bytes > $1 and d.status not in ('pending', 'running')",
            i64::try_from(max_bytes).unwrap_or(i64::MAX)
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// Forgets the oldest lines of each app's run log, until what is left has at most `max_bytes` of text. Returns how many lines.
    /// Reads all logs: not for every minute.
    pub async fn bound_run_logs(&self, max_bytes: u64) -> Result<u64, StoreError> {
        let mut tx = self.begin_unhurried().await?;
        let done = sqlx::query!(
            "delete from run_log l
             using (select id, sum(octet_length(text)) over (partition by app_id order by id desc) as bytes
                    from run_log) sizes
             where l.id = sizes.id and sizes.bytes > $1",
            i64::try_from(max_bytes).unwrap_or(i64::MAX)
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }
}
