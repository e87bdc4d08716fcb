//! A live release whose image is gone from the machine, whoever removed it: the deployment that builds it again, the way it was.

use std::time::Duration;

use sqlx::PgConnection;
use windlass_domain::{AppId, CommitSha, DeploymentId, DeploymentKind, LogSource, ReleaseId, TeamId};

use crate::{
    NewDeployment, ReleaseRow, Store, StoreError, Trigger,
    deployment_log::append,
    deployments::insert_deployment,
    error::unreadable,
    releases::{number, select_releases},
};

/// What becomes of a live release that has no image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebuild {
    /// This deployment, which was just made, builds it again.
    Asked(DeploymentId),
    /// A deployment waits or runs that brings an image: this one, or whatever somebody else asked for.
    UnderWay,
    /// Building it again failed; it is not time to try once more.
    Later,
    /// It failed too often, or somebody cancelled it: that is for a person to decide.
    GivenUp,
    /// It is not known from which commit it was built.
    NoCommit,
    /// It is not live any more.
    NotLive,
}

/// So many failures are enough: what is in the way is nothing that goes by itself.
const ENOUGH: i64 = 4;
/// How long the first failure is left alone; each further one four times as long.
const FIRST_REST: Duration = Duration::from_secs(300);

impl Store {
    /// Asks for a deployment that builds the live release again from its commit, with its settings and its config vars, unless one of
    /// the app is open, or earlier ones of this release failed. However many ask, there is one.
    pub async fn rebuild_live(&self, app: AppId, release: ReleaseId) -> Result<Rebuild, StoreError> {
        let mut tx = self.begin().await?;
        // In the order of all who ask for a deployment: first the app, which keeps its deployments as they are.
        let team = sqlx::query_scalar!(
            "select team_id from apps where id = $1 and deleting_at is null for no key update",
            app.uuid()
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(live) = live_release(&mut tx, app, release).await? else {
            return Ok(Rebuild::NotLive);
        };
        let (Some(team), false) = (team, is_busy(&mut tx, app).await?) else {
            return Ok(Rebuild::UnderWay);
        };
        let Some(commit) = live.commit.clone() else {
            return Ok(Rebuild::NoCommit);
        };
        if let Some(no) = Tries::load(&mut tx, &live).await?.verdict() {
            return Ok(no);
        }
        let asked = ask(&mut tx, TeamId::from_uuid(team), &live, commit).await?;
        tx.commit().await?;
        Ok(asked.map_or(Rebuild::NotLive, Rebuild::Asked))
    }
}

async fn live_release(
    connection: &mut PgConnection,
    app: AppId,
    release: ReleaseId,
) -> Result<Option<ReleaseRow>, StoreError> {
    let row = select_releases!(
        "where r.id = $1 and r.app_id = $2 and s.live_release_id = r.id",
        release.uuid(),
        app.uuid()
    )
    .fetch_optional(connection)
    .await?;
    row.map(ReleaseRow::try_from).transpose()
}

async fn is_busy(connection: &mut PgConnection, app: AppId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from deployments where app_id = $1 and status in ('pending', 'running')) as "busy!""#,
        app.uuid()
    )
    .fetch_one(connection)
    .await
}

/// The deployment as a rollback to the live release itself: such a one builds an image that is gone.
async fn ask(
    connection: &mut PgConnection,
    team: TeamId,
    live: &ReleaseRow,
    commit: CommitSha,
) -> Result<Option<DeploymentId>, StoreError> {
    let message = format!(
        "the image of {} was removed from this machine; {} is built again by itself",
        live.version,
        commit.short()
    );
    let new = NewDeployment {
        kind: DeploymentKind::Rollback { to: live.version },
        trigger: Trigger::Rebuild,
        reference: Some(live.version.to_string()),
        commit: Some(commit),
        message: Some(message.clone()),
        by: None,
    };
    let row = insert_deployment(connection, team, live.app, &new).await?;
    let Some(row) = row else { return Ok(None) };
    let line = (LogSource::Windlass, format!(" !     {message}"));
    append(connection, row.id, &[line]).await?;
    Ok(Some(row.id))
}

/// What came of building this release again before.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tries {
    failed: i64,
    cancelled: bool,
    since_last: Option<Duration>,
}

impl Tries {
    async fn load(connection: &mut PgConnection, live: &ReleaseRow) -> Result<Self, StoreError> {
        let row = sqlx::query!(
            r#"select count(*) filter (where status = 'failed') as "failed!",
                      coalesce(bool_or(status = 'cancelled'), false) as "cancelled!",
                      extract(epoch from now() - max(finished_at) filter (where status = 'failed'))::float8 as since_last
               from deployments where app_id = $1 and trigger = 'rebuild' and (kind->>'to')::integer = $2"#,
            live.app.uuid(),
            number(live.version)
        )
        .fetch_one(connection)
        .await?;
        let since_last = row.since_last.map(|seconds| seconds.max(0.0));
        Ok(Self {
            failed: row.failed,
            cancelled: row.cancelled,
            since_last: since_last
                .map(Duration::try_from_secs_f64)
                .transpose()
                .map_err(unreadable)?,
        })
    }

    /// Why it is not tried now; none: it is.
    fn verdict(self) -> Option<Rebuild> {
        if self.cancelled || self.failed >= ENOUGH {
            return Some(Rebuild::GivenUp);
        }
        let Ok(before) = u32::try_from(self.failed - 1) else {
            return None;
        };
        let rest = FIRST_REST * 4_u32.pow(before);
        self.since_last
            .is_some_and(|since| since < rest)
            .then_some(Rebuild::Later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(failed: i64, minutes: u64) -> Option<Rebuild> {
        let tries = Tries {
            failed,
            cancelled: false,
            since_last: (failed > 0).then(|| Duration::from_secs(minutes * 60)),
        };
        tries.verdict()
    }

    #[test]
    fn each_failure_is_left_alone_for_longer_and_four_are_enough() {
        assert_eq!(after(0, 0), None);
        assert_eq!((after(1, 4), after(1, 5)), (Some(Rebuild::Later), None));
        assert_eq!((after(2, 19), after(2, 20)), (Some(Rebuild::Later), None));
        assert_eq!((after(3, 79), after(3, 80)), (Some(Rebuild::Later), None));
        assert_eq!(after(4, 100_000), Some(Rebuild::GivenUp));
    }
}
