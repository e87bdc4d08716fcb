//! Instances as rows: one container each.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use uuid::Uuid;
use windlass_domain::{AppId, InstanceId, InstanceState, ProcessType, ReleaseId, ReleaseVersion, TeamId};

use crate::{
    Store, StoreError,
    error::{count, unreadable, word},
    releases::version,
};

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRow {
    /// Its id.
    pub id: InstanceId,
    /// Its app.
    pub app: AppId,
    /// Its release.
    pub release: ReleaseId,
    /// The release's number.
    pub version: ReleaseVersion,
    /// Its process type.
    pub process: ProcessType,
    /// Its number, from 1 within app, process type and release.
    pub n: u32,
    /// The restart generation it belongs to.
    pub restart_seq: i32,
    /// Where it stands.
    pub state: InstanceState,
    /// Its container's id.
    pub container: Option<String>,
    /// Where it listens.
    pub address: Option<SocketAddr>,
    /// The exit code of an ended one.
    pub exit_code: Option<i64>,
    /// Why it ended, in a sentence.
    pub reason: Option<String>,
    /// Whether it gets requests although its release is not live yet.
    pub admitted: bool,
    /// When its row was made.
    pub created_at: DateTime<Utc>,
    /// When it first was healthy.
    pub healthy_at: Option<DateTime<Utc>>,
    /// When it began to drain.
    pub draining_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How far its log was collected, in nanoseconds since 1970.
    pub log_cursor_ns: i64,
}

/// Rows of instances; the tail says which.
macro_rules! select_instances {
    ($tail:tt $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::instances::RawInstance,
            r#"select i.id, i.app_id, i.release_id, r.version, i.process, i.n, i.restart_seq, i.state, i.container_id,
                      i.address, i.exit_code, i.reason, i.admitted, i.created_at, i.healthy_at, i.draining_at, i.finished_at,
                      i.log_cursor_ns
               from instances i
               join releases r on r.id = i.release_id "# + $tail
            $(, $arg)*
        )
    };
}
pub(crate) use select_instances;

pub(crate) struct RawInstance {
    pub(crate) id: Uuid,
    pub(crate) app_id: Uuid,
    pub(crate) release_id: Uuid,
    pub(crate) version: i32,
    pub(crate) process: String,
    pub(crate) n: i32,
    pub(crate) restart_seq: i32,
    pub(crate) state: String,
    pub(crate) container_id: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) exit_code: Option<i64>,
    pub(crate) reason: Option<String>,
    pub(crate) admitted: bool,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) healthy_at: Option<DateTime<Utc>>,
    pub(crate) draining_at: Option<DateTime<Utc>>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) log_cursor_ns: i64,
}

impl TryFrom<RawInstance> for InstanceRow {
    type Error = StoreError;

    fn try_from(raw: RawInstance) -> Result<Self, StoreError> {
        Ok(Self {
            id: InstanceId::from_uuid(raw.id),
            app: AppId::from_uuid(raw.app_id),
            release: ReleaseId::from_uuid(raw.release_id),
            version: version(raw.version)?,
            process: raw.process.parse().map_err(unreadable)?,
            n: count(raw.n)?,
            restart_seq: raw.restart_seq,
            state: word("instance state", &raw.state, InstanceState::parse)?,
            container: raw.container_id,
            address: raw.address.as_deref().map(address).transpose()?,
            exit_code: raw.exit_code,
            reason: raw.reason,
            admitted: raw.admitted,
            created_at: raw.created_at,
            healthy_at: raw.healthy_at,
            draining_at: raw.draining_at,
            finished_at: raw.finished_at,
            log_cursor_ns: raw.log_cursor_ns,
        })
    }
}

/// Reads an address.
pub(crate) fn address(text: &str) -> Result<SocketAddr, StoreError> {
    text.parse().map_err(unreadable)
}

impl Store {
    /// The app's instances by process type, oldest first: those that live, and in the place of each that is missing the one that
    /// crashed there last, so that it is seen why.
    pub async fn list_instances(&self, team: TeamId, app: AppId) -> Result<Vec<InstanceRow>, StoreError> {
        let rows = select_instances!(
            // A place is a number of a process type of a release. How many are missing is counted by the generation that is wanted.
            "where i.app_id = $1 and i.team_id = $2
               and (i.state in ('starting', 'healthy', 'unhealthy', 'draining')
                    or i.id in (
                        select c.id
                        from (select e.id, e.release_id, e.process,
                                     row_number() over (partition by e.release_id, e.process order by e.id desc) as nth
                              from instances e
                              join app_states s on s.app_id = e.app_id
                              where e.app_id = $1 and e.state = 'crashed' and e.finished_at > now() - interval '1 hour'
                                and e.release_id in (s.live_release_id, s.candidate_release_id)
                                and not exists (select from instances n
                                                where n.release_id = e.release_id and n.process = e.process and n.n = e.n
                                                  and n.id > e.id)) c
                        left join formation f on f.app_id = $1 and f.process = c.process
                        where c.nth <= coalesce(f.quantity, case when c.process = 'web' then 1 else 0 end)
                                       - (select count(*) from instances r
                                          where r.release_id = c.release_id and r.process = c.process
                                            and r.restart_seq = coalesce(f.restart_seq, 0)
                                            and r.state in ('starting', 'healthy', 'unhealthy'))))
             order by i.process, i.id",
            app.uuid(),
            team.uuid()
        )
        .fetch_all(self.pool())
        .await?;
        rows.into_iter().map(InstanceRow::try_from).collect()
    }

    /// The app's live instances, and the last 20 that ended within the hour, of whichever release; by process type, oldest first.
    pub async fn list_all_instances(&self, team: TeamId, app: AppId) -> Result<Vec<InstanceRow>, StoreError> {
        let rows = select_instances!(
            "where i.app_id = $1 and i.team_id = $2
               and (i.state in ('starting', 'healthy', 'unhealthy', 'draining')
                    or i.id in (select e.id from instances e
                                where e.app_id = $1 and e.state in ('crashed', 'stopped')
                                  and e.finished_at > now() - interval '1 hour'
                                order by e.id desc limit 20))
             order by i.process, i.id",
            app.uuid(),
            team.uuid()
        )
        .fetch_all(self.pool())
        .await?;
        rows.into_iter().map(InstanceRow::try_from).collect()
    }
}
