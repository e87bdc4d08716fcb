//! Who works on which deployment: claims, leases and the rules by which a newer deployment takes the place of those that wait.

use std::time::Duration;

use sqlx::PgConnection;
use windlass_domain::{AppId, DeploymentId, Failure, FailureCode, LogSource};

use super::{
    images::image_of,
    lease::in_time,
    progress::conclude,
    types::{Again, Claim, Heartbeat, Outcome, Wanted, WorkerId},
};
use crate::{
    AppRow, DeploymentRow, Event, ReleaseRow, Store, StoreError,
    apps::select_apps,
    deployment_log::append,
    deployments::select_deployments,
    error::{Constraint, count},
    events::notify,
    releases::select_releases,
};

/// How often a lost race is followed by another look, and how much longer each time the winner gets to finish.
const RACES: u32 = 8;
const RACE: Duration = Duration::from_millis(5);

impl Store {
    /// Takes a deployment whose worker let its lease expire, or else the oldest that waits, of the team that has least under way; but
    /// never a second one of an app. Before
    /// that, those that wait behind a newer one are superseded. One that cannot be read is failed and left. All times are those of the database's clock.
    pub async fn claim_deployment(
        &self,
        worker: WorkerId,
        lease: Duration,
        wanted: Wanted,
    ) -> Result<Option<Claim>, StoreError> {
        let mut race = 1;
        while race <= RACES {
            match self.try_claim(worker, lease, wanted).await {
                // Another worker took a deployment of the same app,
                Err(StoreError::Internal(error)) if Constraint::violated(&error) == Some(Constraint::OneRunning) => {}
                // or holds the lock on what could be taken at this moment, and may leave it.
                Ok(Taken::Nothing) if self.is_claimable(wanted).await? => {}
                Ok(Taken::Unreadable) => continue,
                Ok(Taken::Nothing) => return Ok(None),
                Ok(Taken::Claim(claim)) => return Ok(Some(*claim)),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(RACE * race).await;
            race += 1;
        }
        Ok(None)
    }

    async fn is_claimable(&self, wanted: Wanted) -> Result<bool, StoreError> {
        let claimable = sqlx::query_scalar!(
            r#"select exists (
                   select from deployments d
                   where (d.status = 'running' and d.lease_until < now()
                          or d.status = 'pending'
                             and not exists (select from deployments r where r.app_id = d.app_id and r.status = 'running'))
                     and (exists (select from deployment_cancels c where c.deployment_id = d.id)
                          or d.status = 'running' and d.started_at < now() - make_interval(secs => $3)
                          or $1 and ($2 or d.status = 'running' or d.image_id is not null
                                     or d.kind->>'type' not in ('push', 'fetch')))
               ) as "claimable!""#,
            matches!(wanted, Wanted::Any | Wanted::Built),
            wanted == Wanted::Any,
            wanted.overdue()
        )
        .fetch_one(self.pool())
        .await?;
        Ok(claimable)
    }

    async fn try_claim(&self, worker: WorkerId, lease: Duration, wanted: Wanted) -> Result<Taken, StoreError> {
        let mut tx = self.begin().await?;
        supersede(&mut tx).await?;
        let taken = match take_oldest(&mut tx, worker, lease, wanted).await? {
            None => Taken::Nothing,
            Some(claimed) => match load_claim(&mut tx, &claimed).await {
                Ok(claim) => Taken::Claim(Box::new(claim)),
                Err(error) if is_unreadable(&error) => {
                    let Claimed { app, deployment, .. } = claimed;
                    tracing::error!(%deployment, error = &error as &dyn std::error::Error, "a deployment cannot be read");
                    fail_unreadable(&mut tx, app, deployment).await?;
                    Taken::Unreadable
                }
                Err(error) => return Err(error),
            },
        };
        tx.commit().await?;
        Ok(taken)
    }

    /// How long the oldest waiting deployment has waited.
    pub async fn oldest_pending_age(&self) -> Result<Option<Duration>, StoreError> {
        let seconds = sqlx::query_scalar!(
            r#"select extract(epoch from now() - min(created_at))::float8 as "seconds"
               from deployments where status = 'pending'"#
        )
        .fetch_one(self.pool())
        .await?;
        Ok(seconds.map(|seconds| Duration::from_secs_f64(seconds.max(0.0))))
    }

    /// Renews the lease and asks whether to go on. An expired lease that nobody else took can be renewed, one that was given up
    /// cannot. Answers within four seconds, with an error if it must.
    pub async fn heartbeat(
        &self,
        worker: WorkerId,
        deployment: DeploymentId,
        attempt: i32,
        lease: Duration,
    ) -> Result<Heartbeat, StoreError> {
        let beat = sqlx::query_scalar!(
            r#"update deployments d set lease_until = now() + make_interval(secs => $4)
               where id = $1 and attempt = $2 and lease_holder = $3 and status = 'running'
               returning exists(select from deployment_cancels c where c.deployment_id = d.id) as "cancel_requested!""#,
            deployment.uuid(),
            attempt,
            worker.0,
            lease.as_secs_f64()
        )
        .fetch_optional(self.pool());
        let cancel_requested = in_time(beat).await?;
        Ok(cancel_requested.map_or(Heartbeat::Lost, |cancel_requested| Heartbeat::Held { cancel_requested }))
    }

    /// Gives a deployment up. This attempt can write nothing from then on. False: it was not ours.
    pub async fn release_deployment(
        &self,
        deployment: DeploymentId,
        attempt: i32,
        again: Again,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let app = sqlx::query_scalar!(
            "update deployments set lease_holder = null, lease_until = now() + make_interval(secs => $3),
                    faults = faults + case when $4 then 1 else 0 end
             where id = $1 and attempt = $2 and status = 'running' and lease_holder is not null
             returning app_id",
            deployment.uuid(),
            attempt,
            again.delay().as_secs_f64(),
            matches!(again, Again::AfterFault(_))
        )
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(app) = app.filter(|_| again == Again::AtOnce) {
            let app = AppId::from_uuid(app);
            notify(&mut tx, Event::Deployment { app, deployment }).await?;
        }
        tx.commit().await?;
        Ok(app.is_some())
    }
}

impl Store {
    /// Ends the leases of a worker that is known to be dead, so that nobody waits for them to run out.
    pub async fn expire_leases(&self, dead: WorkerId) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query!(
            "update deployments set lease_until = now() - interval '1 second'
             where lease_holder = $1 and status = 'running' and lease_until >= now()",
            dead.0
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "update app_states set lease_holder = null, lease_until = null where lease_holder = $1",
            dead.0
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

/// What was taken, before it is read whole.
struct Claimed {
    app: AppId,
    deployment: DeploymentId,
    deaths: u32,
    faults: u32,
}

/// What one look for a deployment brought.
enum Taken {
    Claim(Box<Claim>),
    Nothing,
    /// One that was failed, because nobody can work on it; there may be others.
    Unreadable,
}

/// Whether Postgres answered, but with what this Windlass does not understand. Only then is the transaction still good.
const fn is_unreadable(error: &StoreError) -> bool {
    use sqlx::Error::{ColumnDecode, Decode, RowNotFound};
    matches!(
        error,
        StoreError::Internal(Decode(_) | ColumnDecode { .. } | RowNotFound)
    )
}

/// Ends a deployment that would otherwise be taken first for ever, and keep all others from being claimed.
async fn fail_unreadable(
    connection: &mut PgConnection,
    app: AppId,
    deployment: DeploymentId,
) -> Result<(), StoreError> {
    let failure = Failure::new(
        FailureCode::Internal,
        "Windlass cannot read its own record of this deployment",
        "look at the log of windlassd on the server, make sure that no older Windlass uses this database, then deploy again",
    );
    let line = |line| (LogSource::Windlass, line);
    let lines: Vec<_> = failure.lines().into_iter().map(line).collect();
    append(connection, deployment, &lines).await?;
    conclude(connection, app, deployment, &Outcome::Failed(failure)).await?;
    Ok(())
}

/// Ends what waits behind a newer deployment: a push or fetch takes the place of older pushes, fetches and config changes (it
/// is built with the newest config vars), a config change that of older config changes, a rollback that of everything. Whatever comes
/// later brings an image, too: nobody waits behind one that is only built again.
async fn supersede(connection: &mut PgConnection) -> Result<(), StoreError> {
    // Both the older and the newer ones are locked, lest the newer one be cancelled at this moment. Rows that another claimer
    // has locked are its own business.
    let ended = sqlx::query!(
        r#"with waiting as materialized (
               select d.id, d.app_id, d.kind->>'type' as type, d.trigger from deployments d
               where d.status = 'pending'
                 and exists (select from deployments o
                             where o.app_id = d.app_id and o.status = 'pending' and o.id <> d.id)
               order by d.id for no key update skip locked
           ), outdated as (
               select o.id,
                      (select n.id from waiting n
                       where n.app_id = o.app_id and n.id > o.id
                         and (n.type = 'rollback' or o.trigger = 'rebuild'
                              or n.type in ('push', 'fetch') and o.type in ('push', 'fetch', 'config')
                              or n.type = 'config' and o.type = 'config')
                       order by n.id desc limit 1) as newer
               from waiting o
           )
           update deployments d set status = 'superseded', superseded_by = outdated.newer, finished_at = now()
           from outdated where d.id = outdated.id and outdated.newer is not null
           returning d.id, d.app_id, outdated.newer as "newer!""#
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in ended {
        let deployment = DeploymentId::from_uuid(row.id);
        let newer = DeploymentId::from_uuid(row.newer);
        let line = (LogSource::Windlass, format!(" !     Superseded by {newer}"));
        append(connection, deployment, &[line]).await?;
        let app = AppId::from_uuid(row.app_id);
        notify(connection, Event::Deployment { app, deployment }).await?;
    }
    Ok(())
}

/// The claim itself, in one statement. Two workers that take two deployments of one app at once meet at the unique index.
async fn take_oldest(
    connection: &mut PgConnection,
    worker: WorkerId,
    lease: Duration,
    wanted: Wanted,
) -> Result<Option<Claimed>, StoreError> {
    let taken = sqlx::query!(
        // Teams that have less under way go first: nobody waits behind the hundred deployments of somebody else. A lease that ran
        // out in other hands is a death. What a dead worker had begun to build goes on without a slot here, lest it wait for as
        // long as the builds of others take: the builder has a queue of its own.
        "update deployments
         set status = 'running', attempt = attempt + 1, lease_holder = $1,
             deaths = deaths + case when status = 'running' and lease_holder <> $1 then 1 else 0 end,
             lease_until = now() + make_interval(secs => $2), started_at = coalesce(started_at, now())
         where id = (
             select d.id from deployments d
             where (d.status = 'running' and d.lease_until < now()
                    or d.status = 'pending'
                       and not exists (select from deployments r where r.app_id = d.app_id and r.status = 'running'))
               and (exists (select from deployment_cancels c where c.deployment_id = d.id)
                    or d.status = 'running' and d.started_at < now() - make_interval(secs => $5)
                    or $3 and ($4 or d.status = 'running' or d.image_id is not null
                               or d.kind->>'type' not in ('push', 'fetch')))
             order by d.status = 'pending',
                      (select count(*) from deployments r
                       where r.team_id = d.team_id and r.status = 'running' and r.lease_until >= now()),
                      d.id
             limit 1 for no key update skip locked
         )
         returning id, app_id, deaths, faults",
        worker.0,
        lease.as_secs_f64(),
        matches!(wanted, Wanted::Any | Wanted::Built),
        wanted == Wanted::Any,
        wanted.overdue()
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(taken) = taken else { return Ok(None) };
    sqlx::query!(
        "update deployment_steps set finished_at = now(), outcome = 'abandoned'
         where deployment_id = $1 and finished_at is null and step not in ('drain', 'retire')",
        taken.id
    )
    .execute(&mut *connection)
    .await?;
    let app = AppId::from_uuid(taken.app_id);
    let deployment = DeploymentId::from_uuid(taken.id);
    notify(connection, Event::Deployment { app, deployment }).await?;
    Ok(Some(Claimed {
        app,
        deployment,
        deaths: count(taken.deaths)?,
        faults: count(taken.faults)?,
    }))
}

async fn load_claim(connection: &mut PgConnection, claimed: &Claimed) -> Result<Claim, StoreError> {
    let row = select_deployments!("where d.id = $1", claimed.deployment.uuid())
        .fetch_one(&mut *connection)
        .await?;
    let deployment = DeploymentRow::try_from(row)?;
    let app = select_apps!("where a.id = $1", deployment.app.uuid())
        .fetch_one(&mut *connection)
        .await?;
    let release = select_releases!("where r.deployment_id = $1", deployment.id.uuid())
        .fetch_optional(&mut *connection)
        .await?;
    Ok(Claim {
        app: AppRow::try_from(app)?,
        attempt: deployment.attempt,
        deaths: claimed.deaths,
        faults: claimed.faults,
        image: image_of(connection, deployment.id).await?,
        release: release.map(ReleaseRow::try_from).transpose()?,
        deployment,
    })
}
