//! Instances as the worker records them, and the routes that follow from them.

use std::net::SocketAddr;

use sqlx::types::Json;
use windlass_domain::{AppId, AppName, AppSettings, InstanceId, InstanceState, ProcessType, Upstream};

use super::{
    converge::holds_app,
    types::{CheckedInstance, InstanceEnd, NewInstance, WorkerId},
};
use crate::{
    Event, InstanceRow, Store, StoreError,
    error::unreadable,
    events::notify,
    instances::{RawInstance, address, select_instances},
    text::storable,
};

impl Store {
    /// Records an instance that is about to be started. None: this worker no longer holds the app, so it must not start anything.
    pub async fn insert_instance(&self, worker: WorkerId, new: NewInstance) -> Result<Option<InstanceRow>, StoreError> {
        let mut tx = self.begin().await?;
        if !holds_app(&mut tx, new.app, worker).await? {
            return Ok(None);
        }
        sqlx::query!(
            "insert into instances (id, team_id, app_id, release_id, process, n, restart_seq, state)
             select $1, team_id, id, $3, $4, $5, $6, 'starting' from apps where id = $2",
            new.id.uuid(),
            new.app.uuid(),
            new.release.uuid(),
            new.process.as_str(),
            i32::try_from(new.n).unwrap_or(i32::MAX),
            new.restart_seq
        )
        .execute(&mut *tx)
        .await?;
        notify(&mut tx, Event::App(new.app)).await?;
        let row = select_instances!("where i.id = $1", new.id.uuid())
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        row.try_into().map(Some)
    }

    /// Counts the time to drain from now. Needs no lease: it gives an instance no more than the time that it has anyway.
    pub async fn restart_drain(&self, instance: InstanceId) -> Result<(), StoreError> {
        sqlx::query!(
            "update instances set draining_at = now() where id = $1 and state = 'draining'",
            instance.uuid()
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Lets an instance of a candidate have requests before its release is live. False: it is not healthy, or this worker no longer
    /// holds the app.
    pub async fn admit_instance(&self, worker: WorkerId, instance: InstanceId) -> Result<bool, StoreError> {
        // One statement: requests wait for it. The app stays held until it ends.
        let done = sqlx::query!(
            "with held as (
                 select s.app_id from app_states s join instances i on i.app_id = s.app_id
                 where i.id = $1 and s.lease_holder = $2 and s.lease_until > now() for no key update of s)
             update instances set admitted = true
             from held where id = $1 and state = 'healthy'",
            instance.uuid(),
            worker.0
        )
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Records an instance's container and where it listens. Needs no lease: there is never another container for a row.
    pub async fn set_instance_container(
        &self,
        instance: InstanceId,
        container: &str,
        address: Option<SocketAddr>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update instances set container_id = $2, address = $3 where id = $1",
            instance.uuid(),
            container,
            address.map(|address| address.to_string())
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Moves an instance to another state. What has ended stays ended, and what drains can only end: such a move is refused
    /// with false, as is one to the state that it has, and any by a worker that no longer holds the app.
    pub async fn set_instance_state(
        &self,
        worker: WorkerId,
        instance: InstanceId,
        state: InstanceState,
        end: InstanceEnd,
    ) -> Result<bool, StoreError> {
        // One statement: requests wait for it. The app stays held until it ends.
        let done = sqlx::query!(
            "with held as (
                 select s.app_id from app_states s join instances i on i.app_id = s.app_id
                 where i.id = $1 and s.lease_holder = $5 and s.lease_until > now() for no key update of s),
             moved as (
                 update instances i
                 set state = $2,
                     exit_code = coalesce($3, exit_code),
                     reason = coalesce($4, reason),
                     healthy_at = case when $2 = 'healthy' then coalesce(healthy_at, now()) else healthy_at end,
                     draining_at = case when $2 = 'draining' then now() else draining_at end,
                     finished_at = case when $2 in ('crashed', 'stopped') then now() end
                 from held
                 where id = $1 and state <> $2 and state not in ('crashed', 'stopped')
                   and (state <> 'draining' or $2 in ('crashed', 'stopped'))
                 returning i.app_id)
             select pg_notify('windlass', 'app ' || app_id) from moved",
            instance.uuid(),
            state.as_str(),
            end.exit_code,
            end.reason.as_deref().map(storable),
            worker.0
        )
        .fetch_optional(self.pool())
        .await?;
        Ok(done.is_some())
    }

    /// Records that a healthy instance is so no longer. Whoever checks it may say so, whether it holds the app or not: what
    /// follows is decided by the holder. False: it is not healthy, by the rows.
    pub async fn instance_unhealthy(&self, instance: InstanceId) -> Result<bool, StoreError> {
        self.move_on(instance, (InstanceState::Healthy, InstanceState::Unhealthy))
            .await
    }

    /// Records that a draining instance was stopped, and its container removed. Needs no lease: an app may take longer to stop than
    /// its worker holds it, and whoever looks after it by then can only do the same. False: it does not drain.
    pub async fn instance_stopped(&self, instance: InstanceId) -> Result<bool, StoreError> {
        self.move_on(instance, (InstanceState::Draining, InstanceState::Stopped))
            .await
    }

    async fn move_on(
        &self,
        instance: InstanceId,
        (from, to): (InstanceState, InstanceState),
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let app = sqlx::query_scalar!(
            "update instances
             set state = $3, finished_at = case when $3 = 'stopped' then now() end
             where id = $1 and state = $2
             returning app_id",
            instance.uuid(),
            from.as_str(),
            to.as_str()
        )
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(app) = app {
            notify(&mut tx, Event::App(AppId::from_uuid(app))).await?;
        }
        tx.commit().await?;
        Ok(app.is_some())
    }

    /// An instance, in whatever state it is.
    pub async fn instance(&self, instance: InstanceId) -> Result<Option<InstanceRow>, StoreError> {
        let row = select_instances!("where i.id = $1", instance.uuid())
            .fetch_optional(self.pool())
            .await?;
        row.map(InstanceRow::try_from).transpose()
    }

    /// The live instances of all apps, for observing them and for collecting their logs.
    pub async fn live_instances(&self) -> Result<Vec<(InstanceRow, AppName)>, StoreError> {
        let rows = sqlx::query!(
            "select i.id, i.app_id, i.release_id, r.version, i.process, i.n, i.restart_seq, i.state, i.container_id,
                    i.address, i.exit_code, i.reason, i.admitted, i.created_at, i.healthy_at, i.draining_at, i.finished_at,
                    i.log_cursor_ns, a.name
             from instances i join releases r on r.id = i.release_id join apps a on a.id = i.app_id
             where i.state in ('starting', 'healthy', 'unhealthy', 'draining') order by i.id"
        )
        .fetch_all(self.pool())
        .await?;
        rows.into_iter()
            .map(|row| {
                let name = row.name.parse().map_err(unreadable)?;
                let raw = RawInstance {
                    id: row.id,
                    app_id: row.app_id,
                    release_id: row.release_id,
                    version: row.version,
                    process: row.process,
                    n: row.n,
                    restart_seq: row.restart_seq,
                    state: row.state,
                    container_id: row.container_id,
                    address: row.address,
                    exit_code: row.exit_code,
                    reason: row.reason,
                    admitted: row.admitted,
                    created_at: row.created_at,
                    healthy_at: row.healthy_at,
                    draining_at: row.draining_at,
                    finished_at: row.finished_at,
                    log_cursor_ns: row.log_cursor_ns,
                };
                Ok((raw.try_into()?, name))
            })
            .collect()
    }

    /// The healthy instances of all apps that go on being checked, and how.
    pub async fn checked_instances(&self) -> Result<Vec<CheckedInstance>, StoreError> {
        let rows = sqlx::query!(
            r#"select i.id, a.name, i.process, i.address as "address!", r.settings as "settings: Json<AppSettings>"
               from instances i join releases r on r.id = i.release_id join apps a on a.id = i.app_id
               where i.state = 'healthy' and i.address is not null and a.deleting_at is null"#
        )
        .fetch_all(self.pool())
        .await?;
        let mut checked = Vec::with_capacity(rows.len());
        for row in rows {
            let process: ProcessType = row.process.parse().map_err(unreadable)?;
            let check = row
                .settings
                .0
                .health_of(&process)
                .filter(|check| check.interval_seconds > 0);
            if let Some(check) = check {
                checked.push(CheckedInstance {
                    id: InstanceId::from_uuid(row.id),
                    app: row.name.parse().map_err(unreadable)?,
                    address: address(&row.address)?,
                    check: check.clone(),
                });
            }
        }
        Ok(checked)
    }

    /// What the router shall serve: each app with a live release and the healthy `web` instances of that release, with those that
    /// were admitted before their release is live. A candidate that fails does not take these out: the converge loop drains each
    /// of them as soon as the live release can do without it. An app without any is there too, for the router to answer 503.
    pub async fn routed_apps(&self) -> Result<Vec<(AppName, Vec<Upstream>)>, StoreError> {
        let rows = sqlx::query!(
            r#"select a.name, i.id as "instance?", i.address as "address?"
               from apps a
               join app_states s on s.app_id = a.id
               left join instances i
                 on i.app_id = a.id and i.process = 'web'
                and (i.release_id = s.live_release_id or i.admitted)
                and i.state = 'healthy' and i.address is not null
               where s.live_release_id is not null and a.deleting_at is null
               order by a.name, i.n, i.id"#
        )
        .fetch_all(self.pool())
        .await?;
        let mut apps: Vec<(AppName, Vec<Upstream>)> = Vec::new();
        for row in rows {
            if apps.last().is_none_or(|(name, _)| name.as_str() != row.name) {
                apps.push((row.name.parse().map_err(unreadable)?, Vec::new()));
            }
            if let (Some((_, upstreams)), Some(id), Some(text)) = (apps.last_mut(), row.instance, row.address) {
                upstreams.push(Upstream {
                    instance: InstanceId::from_uuid(id),
                    address: address(&text)?,
                });
            }
        }
        Ok(apps)
    }

    /// The number of the next table of routes; it only grows.
    pub async fn next_route_generation(&self) -> Result<u64, StoreError> {
        let next = sqlx::query_scalar!(r#"select nextval('route_generation') as "next!""#)
            .fetch_one(self.pool())
            .await?;
        u64::try_from(next).map_err(unreadable)
    }

    /// Makes the numbers of tables go on behind this one, if they are not that far.
    pub async fn raise_route_generation(&self, beyond: u64) -> Result<(), StoreError> {
        sqlx::query_scalar!(
            r#"select setval('route_generation', greatest(nextval('route_generation'), $1)) as "value!""#,
            i64::try_from(beyond).map_err(unreadable)?
        )
        .fetch_one(self.pool())
        .await?;
        Ok(())
    }
}
