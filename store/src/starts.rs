//! What a plan needs to know of the past: how long starts took, and which release comes next.

use std::time::Duration;

use windlass_domain::{AppId, ProcessType, ReleaseVersion, TeamId};

use crate::{Store, StoreError, releases::version};

impl Store {
    /// How long the last instances of a process type took from their start until they were healthy, newest first.
    pub async fn last_starts(
        &self,
        team: TeamId,
        app: AppId,
        process: &ProcessType,
        limit: u32,
    ) -> Result<Vec<Duration>, StoreError> {
        let seconds = sqlx::query_scalar!(
            r#"select extract(epoch from healthy_at - created_at)::float8 as "seconds!" from instances
               where app_id = $1 and team_id = $2 and process = $3 and healthy_at is not null
               order by id desc limit $4"#,
            app.uuid(),
            team.uuid(),
            process.as_str(),
            i64::from(limit)
        )
        .fetch_all(self.pool())
        .await?;
        let took = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Ok(seconds.into_iter().map(took).collect())
    }

    /// The number that the app's next release gets.
    pub async fn next_release(&self, team: TeamId, app: AppId) -> Result<ReleaseVersion, StoreError> {
        let next = sqlx::query_scalar!(
            r#"select coalesce(max(version), 0) + 1 as "next!" from releases where app_id = $1 and team_id = $2"#,
            app.uuid(),
            team.uuid()
        )
        .fetch_one(self.pool())
        .await?;
        version(next)
    }
}
