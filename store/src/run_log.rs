//! What instances print, as it was collected. Bounded per app; survives the containers.

use chrono::{DateTime, Utc};
use windlass_domain::{AppId, ProcessType, TeamId};

use crate::{Store, StoreError};

/// One line that an instance printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLogRow {
    /// Grows with each line; what to continue after.
    pub id: i64,
    /// When it was printed.
    pub at: DateTime<Utc>,
    /// The process type.
    pub process: String,
    /// The instance's name.
    pub instance: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// The line.
    pub text: String,
}

impl Store {
    /// The last lines of the app, or of one process type of it, oldest first.
    pub async fn run_log_tail(
        &self,
        team: TeamId,
        app: AppId,
        process: Option<&ProcessType>,
        lines: u32,
    ) -> Result<Vec<RunLogRow>, StoreError> {
        let mut rows = sqlx::query_as!(
            RunLogRow,
            "select id, at, process, instance, stream, text from run_log
             where app_id = $1 and team_id = $2 and ($3::text is null or process = $3)
             order by id desc limit $4",
            app.uuid(),
            team.uuid(),
            process.map(ProcessType::as_str),
            i64::from(lines)
        )
        .fetch_all(self.pool())
        .await?;
        rows.reverse();
        Ok(rows)
    }

    /// The lines after the line `after`, oldest first, at most `limit`.
    #[allow(
        clippy::too_many_arguments,
        reason = "whose log, which part of it and from where: all of them plain"
    )]
    pub async fn run_log_after(
        &self,
        team: TeamId,
        app: AppId,
        process: Option<&ProcessType>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<RunLogRow>, StoreError> {
        let rows = sqlx::query_as!(
            RunLogRow,
            "select id, at, process, instance, stream, text from run_log
             where app_id = $1 and team_id = $2 and ($3::text is null or process = $3) and id > $4
             order by id limit $5",
            app.uuid(),
            team.uuid(),
            process.map(ProcessType::as_str),
            after,
            i64::from(limit)
        )
        .fetch_all(self.pool())
        .await?;
        Ok(rows)
    }
}
