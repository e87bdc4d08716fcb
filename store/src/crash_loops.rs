//! Process types that end again and again: told from the ends of their instances.

use chrono::{DateTime, Utc};
use windlass_domain::{AppId, ProcessType, ReleaseVersion, TeamId};

use crate::{Store, StoreError, error::unreadable, releases::version};

/// A process type of the live release that ended three times or more within twenty minutes, and that has no instance which has been
/// healthy for ten seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrashLoopRow {
    /// The process type.
    pub process: ProcessType,
    /// The live release.
    pub release: ReleaseVersion,
    /// How often an instance ended within the last twenty minutes.
    pub crashes: u32,
    /// Why the last one ended, in a sentence.
    pub reason: Option<String>,
    /// The exit code of the last one.
    pub exit_code: Option<i64>,
    /// When the last one ended.
    pub last_at: DateTime<Utc>,
}

impl Store {
    /// The app's process types that end again and again; none of an app that the team does not have.
    pub async fn crash_loops(&self, team: TeamId, app: AppId) -> Result<Vec<CrashLoopRow>, StoreError> {
        // The pauses between the ends grow to five minutes: three ends are within twenty minutes even then. An instance that was healthy
        // for a moment between two ends does not make a process type well.
        let rows = sqlx::query!(
            r#"select i.process, r.version, count(*) as "crashes!", max(i.finished_at) as "last_at!",
                      (array_agg(i.reason order by i.finished_at desc))[1] as reason,
                      (array_agg(i.exit_code order by i.finished_at desc))[1] as exit_code
               from app_states s
               join releases r on r.id = s.live_release_id
               join instances i on i.app_id = s.app_id and i.release_id = r.id
               left join formation f on f.app_id = s.app_id and f.process = i.process
               where s.app_id = $1 and s.team_id = $2 and i.state = 'crashed'
                 and i.finished_at > now() - interval '20 minutes'
                 and coalesce(f.quantity, case when i.process = 'web' then 1 else 0 end) > 0
                 and not exists (select from instances h
                                 where h.app_id = i.app_id and h.release_id = i.release_id and h.process = i.process
                                   and h.state = 'healthy' and h.healthy_at < now() - interval '10 seconds')
               group by i.process, r.version
               having count(*) >= 3
               order by i.process"#,
            app.uuid(),
            team.uuid()
        )
        .fetch_all(self.pool())
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(CrashLoopRow {
                    process: row.process.parse().map_err(unreadable)?,
                    release: version(row.version)?,
                    crashes: u32::try_from(row.crashes).map_err(unreadable)?,
                    reason: row.reason,
                    exit_code: row.exit_code,
                    last_at: row.last_at,
                })
            })
            .collect()
    }
}
