//! What the converge loop works on: apps as a whole, one worker at a time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ipnet::Ipv4Net;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;
use windlass_domain::{AppId, DeploymentId, Failure, Step};

use super::{
    lease::in_time,
    types::{AppWork, Clock, WorkerId},
};
use crate::{
    AppRow, Event, InstanceRow, ReleaseRow, Store, StoreError,
    apps::select_apps,
    error::{Constraint, unreadable, word},
    events::notify,
    formation::formation_set,
    instances::select_instances,
    releases::select_releases,
};

impl Store {
    /// Takes an app, or keeps it, for `ttl`: only the holder may change its containers. False: another worker has it. Answers
    /// within four seconds, with an error if it must.
    pub async fn lease_app(&self, app: AppId, worker: WorkerId, ttl: Duration) -> Result<bool, StoreError> {
        let lease = sqlx::query!(
            "update app_states set lease_holder = $2, lease_until = now() + make_interval(secs => $3)
             where app_id = $1 and (lease_holder is null or lease_holder = $2 or lease_until < now())",
            app.uuid(),
            worker.0,
            ttl.as_secs_f64()
        )
        .execute(self.pool());
        let done = in_time(lease).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives an app back, if this worker has it.
    pub async fn unlease_app(&self, app: AppId, worker: WorkerId) -> Result<(), StoreError> {
        sqlx::query!(
            "update app_states set lease_holder = null, lease_until = null where app_id = $1 and lease_holder = $2",
            app.uuid(),
            worker.0
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Whether a deployment of the app is in some worker's hands: its build must be dead before the app can be taken away.
    pub async fn has_running_deployment(&self, app: AppId) -> Result<bool, StoreError> {
        let row = sqlx::query!(
            r#"select exists (select 1 from deployments where app_id = $1 and status = 'running') as "running!""#,
            app.uuid()
        )
        .fetch_one(self.pool())
        .await?;
        Ok(row.running)
    }

    /// All that is wanted and recorded of an app, as of one moment; none if it is gone.
    pub async fn app_work(&self, app: AppId) -> Result<Option<AppWork>, StoreError> {
        let mut tx = self
            .pool()
            .begin_with("begin isolation level repeatable read read only")
            .await?;
        let Some(state) = State::load(&mut tx, app).await? else {
            return Ok(None);
        };
        let row = select_apps!("where a.id = $1", app.uuid()).fetch_one(&mut *tx).await?;
        let work = AppWork {
            clock: Clock::says(state.now),
            app: AppRow::try_from(row)?,
            subnet: state.subnet.as_deref().map(subnet).transpose()?,
            live: release(&mut tx, state.live).await?,
            candidate: release(&mut tx, state.candidate).await?,
            candidate_failure: state.candidate_failure.map(|failure| failure.0),
            formation: formation_set(&mut tx, app).await?,
            instances: instances(&mut tx, app).await?,
            departing: departing(&mut tx, app).await?,
        };
        tx.commit().await?;
        Ok(Some(work))
    }

    /// Records that the release before the live one has got through `drain` (then `retire` begins) or `retire`. False: that is
    /// recorded, or this worker no longer holds the app.
    pub async fn departed(&self, worker: WorkerId, app: AppId, step: Step) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        if !holds_app(&mut tx, app, worker).await? {
            return Ok(false);
        }
        let ended = sqlx::query!(
            "update deployment_steps t set finished_at = now(), outcome = 'done'
             from app_states s join releases r on r.id = s.live_release_id
             where s.app_id = $1 and t.deployment_id = r.deployment_id and t.step = $2 and t.finished_at is null
             returning t.deployment_id, t.team_id, t.attempt",
            app.uuid(),
            step.as_str()
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(ended) = ended else { return Ok(false) };
        if step == Step::Drain {
            sqlx::query!(
                "insert into deployment_steps (deployment_id, team_id, step, attempt) values ($1, $2, 'retire', $3)
                 on conflict do nothing",
                ended.deployment_id,
                ended.team_id,
                ended.attempt
            )
            .execute(&mut *tx)
            .await?;
        }
        let deployment = DeploymentId::from_uuid(ended.deployment_id);
        notify(&mut tx, Event::Deployment { app, deployment }).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The apps of all teams that have something that runs, should run or should go.
    pub async fn apps_to_converge(&self) -> Result<Vec<AppId>, StoreError> {
        let ids = sqlx::query_scalar!(
            "select a.id from apps a join app_states s on s.app_id = a.id
             where a.deleting_at is not null or s.live_release_id is not null or s.candidate_release_id is not null
                or exists (select from instances i where i.app_id = a.id
                           and i.state in ('starting', 'healthy', 'unhealthy', 'draining'))
             order by a.id"
        )
        .fetch_all(self.pool())
        .await?;
        Ok(ids.into_iter().map(AppId::from_uuid).collect())
    }

    /// Gives an app a subnet. False: another app has it.
    pub async fn set_subnet(&self, app: AppId, subnet: Ipv4Net) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update app_states set subnet = $2 where app_id = $1",
            app.uuid(),
            subnet.to_string()
        )
        .execute(self.pool())
        .await;
        match done {
            Ok(_) => Ok(true),
            Err(error) if Constraint::violated(&error) == Some(Constraint::Subnet) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The subnets of all apps.
    pub async fn used_subnets(&self) -> Result<Vec<Ipv4Net>, StoreError> {
        let subnets = sqlx::query_scalar!(r#"select subnet as "subnet!" from app_states where subnet is not null"#)
            .fetch_all(self.pool())
            .await?;
        subnets.iter().map(|text| subnet(text)).collect()
    }

    /// Takes an app's subnet back.
    pub async fn clear_subnet(&self, app: AppId) -> Result<(), StoreError> {
        sqlx::query!("update app_states set subnet = null where app_id = $1", app.uuid())
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Deletes all rows of an app whose deletion was asked for, once no deployment of it runs: the name is free again. False: it
    /// is not that far. Its containers, network, images and repository must be gone before.
    pub async fn purge_app(&self, app: AppId) -> Result<bool, StoreError> {
        let mut tx = self.begin_unhurried().await?;
        let done = sqlx::query!(
            "delete from apps a where a.id = $1 and a.deleting_at is not null
               and not exists (select from deployments d where d.app_id = a.id and d.status = 'running')",
            app.uuid()
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        self.inner.run_log_room.lock().await.remove(&app);
        Ok(done.rows_affected() == 1)
    }
}

struct State {
    now: DateTime<Utc>,
    subnet: Option<String>,
    live: Option<Uuid>,
    candidate: Option<Uuid>,
    candidate_failure: Option<Json<Failure>>,
}

impl State {
    async fn load(connection: &mut PgConnection, app: AppId) -> Result<Option<Self>, sqlx::Error> {
        sqlx::query_as!(
            Self,
            r#"select now() as "now!", subnet, live_release_id as live, candidate_release_id as candidate,
                      candidate_failure as "candidate_failure: Json<Failure>"
               from app_states where app_id = $1"#,
            app.uuid()
        )
        .fetch_optional(connection)
        .await
    }
}

fn subnet(text: &str) -> Result<Ipv4Net, StoreError> {
    text.parse().map_err(unreadable)
}

async fn release(connection: &mut PgConnection, id: Option<Uuid>) -> Result<Option<ReleaseRow>, StoreError> {
    let Some(id) = id else { return Ok(None) };
    let row = select_releases!("where r.id = $1", id).fetch_one(connection).await?;
    Ok(Some(row.try_into()?))
}

/// The live ones, and those whose crash may delay the next start: ten crashes, after which the pause is at its longest, are within three
/// hours, however long each of the instances ran before it would have started afresh.
async fn instances(connection: &mut PgConnection, app: AppId) -> Result<Vec<InstanceRow>, StoreError> {
    let rows = select_instances!(
        "where i.app_id = $1
           and (i.state in ('starting', 'healthy', 'unhealthy', 'draining')
                or i.state = 'crashed' and i.finished_at > now() - interval '3 hours')
         order by i.id",
        app.uuid()
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(InstanceRow::try_from).collect()
}

/// Whether a worker holds an app, and goes on holding it until the transaction ends: another one that takes an app whose lease has
/// run out waits for it.
pub(super) async fn holds_app(
    connection: &mut PgConnection,
    app: AppId,
    worker: WorkerId,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query!(
        "select app_id from app_states
         where app_id = $1 and lease_holder = $2 and lease_until > now() for no key update",
        app.uuid(),
        worker.0
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}

/// The step by which the release before the live one goes, while it does.
async fn departing(connection: &mut PgConnection, app: AppId) -> Result<Option<Step>, StoreError> {
    let word = sqlx::query_scalar!(
        "select t.step from app_states s
         join releases r on r.id = s.live_release_id
         join deployment_steps t on t.deployment_id = r.deployment_id
         where s.app_id = $1 and t.step in ('drain', 'retire') and t.finished_at is null
         order by t.started_at limit 1",
        app.uuid()
    )
    .fetch_optional(connection)
    .await?;
    word.map(|text| word_of_step(&text)).transpose()
}

fn word_of_step(text: &str) -> Result<Step, StoreError> {
    word("step", text, Step::parse)
}
