//! Releases come into being here: the next version of the app, once per deployment.

use sqlx::types::Json;
use windlass_domain::{AppId, DeploymentId, Failure, ReleaseId};

use super::{
    converge::holds_app,
    progress::{Held, hold},
    types::{NewRelease, TakenBack, WorkerId},
};
use crate::{
    Event, ReleaseRow, Store, StoreError,
    events::notify,
    releases::select_releases,
    text::{storable, storable_failure},
};

impl Store {
    /// Makes the next release of the app, or returns the one that an earlier attempt made. None: the deployment is no longer
    /// ours.
    pub async fn record_release(
        &self,
        deployment: DeploymentId,
        attempt: i32,
        release: NewRelease,
    ) -> Result<Option<ReleaseRow>, StoreError> {
        let mut tx = self.begin().await?;
        let Some(Held { app, team }) = hold(&mut tx, deployment, attempt).await? else {
            return Ok(None);
        };
        sqlx::query!(
            "insert into releases (id, team_id, app_id, version, deployment_id, image_id, config_version, processes,
                                   settings, description)
             select $1, $2, $3, coalesce(max(r.version), 0) + 1, $4, $5, $6, $7, $8, $9
             from releases r where r.app_id = $3
             on conflict (deployment_id) do nothing",
            ReleaseId::generate().uuid(),
            team,
            app.uuid(),
            deployment.uuid(),
            release.image.uuid(),
            i32::try_from(release.config_version).unwrap_or(i32::MAX),
            Json(&release.processes) as _,
            Json(&release.settings) as _,
            storable(&release.description)
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "update deployments d set release_id = r.id from releases r where d.id = $1 and r.deployment_id = d.id",
            deployment.uuid()
        )
        .execute(&mut *tx)
        .await?;
        notify(&mut tx, Event::Deployment { app, deployment }).await?;
        let row = select_releases!("where r.deployment_id = $1", deployment.uuid())
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Some(row.try_into()?))
    }

    /// Takes a release back whose deployment is over: from now on it does not go live any more. None: the deployment is no longer
    /// ours.
    pub async fn take_back(
        &self,
        deployment: DeploymentId,
        attempt: i32,
        release: ReleaseId,
    ) -> Result<Option<TakenBack>, StoreError> {
        let mut tx = self.begin().await?;
        let Some(Held { app, .. }) = hold(&mut tx, deployment, attempt).await? else {
            return Ok(None);
        };
        let withdrawn = sqlx::query!(
            "update app_states set candidate_release_id = null, candidate_failure = null
             where app_id = $1 and candidate_release_id = $2",
            app.uuid(),
            release.uuid()
        )
        .execute(&mut *tx)
        .await?;
        if withdrawn.rows_affected() == 1 {
            notify(&mut tx, Event::App(app)).await?;
        }
        // Only a candidate can go live, so that this stays true.
        let is_live = sqlx::query_scalar!(
            r#"select live_release_id is not distinct from $2 as "is_live!" from app_states where app_id = $1"#,
            app.uuid(),
            release.uuid()
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Some(if is_live { TakenBack::TooLate } else { TakenBack::InTime }))
    }

    /// Makes the candidate live; from here on the release before it departs. False: it is no longer the candidate, it was found
    /// unfit, or this worker no longer holds the app.
    pub async fn promote(&self, worker: WorkerId, app: AppId, release: ReleaseId) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            // One statement: requests wait for it. The release to go back to is one that got through its own watch window, or had
            // no trouble in it so far, and was not judged to be bad.
            //
            // From here on only instances of the live release have requests: this one's do for that reason, and what of a release
            // that failed half way served until now goes with the release before (`withdrawn`). The instances of other releases
            // now drain and then go: steps of the deployment that made this one live, though it succeeds before (`begun`). What
            // of earlier releases is still on its way out goes on as part of it (`abandoned`).
            "with promoted as (
                 update app_states s
                 set live_release_id = $2, candidate_release_id = null, live_since = now(), watch_verdict = null,
                     previous_release_id = case
                         when previous_release_id is not null and watched_release_id = live_release_id
                         then previous_release_id
                         when previous_release_id is null or live_since is null
                           or s.watched_release_id is distinct from s.live_release_id
                              and (live_since <= now() - make_interval(secs => coalesce(
                                       (select (r.settings->'watch'->>'seconds')::int from releases r
                                        where r.id = s.live_release_id), 60))
                                   or not exists (select from instances i
                                                  where i.release_id = s.live_release_id and i.state = 'crashed'
                                                    and i.finished_at >= s.live_since))
                         then live_release_id else previous_release_id end
                 where app_id = $1 and candidate_release_id = $2 and candidate_failure is null
                   and lease_holder = $3 and lease_until > now()
                 returning s.app_id),
             withdrawn as (
                 update instances i set admitted = false from promoted p where i.app_id = p.app_id and i.admitted),
             abandoned as (
                 update deployment_steps t set finished_at = now(), outcome = 'abandoned'
                 from promoted p join deployments d on d.app_id = p.app_id
                 where t.deployment_id = d.id and t.step in ('drain', 'retire') and t.finished_at is null),
             begun as (
                 insert into deployment_steps (deployment_id, team_id, step, attempt)
                 select d.id, d.team_id, 'drain', d.attempt
                 from promoted p join releases r on r.id = $2 join deployments d on d.id = r.deployment_id
                 where exists (select from instances i where i.app_id = p.app_id and i.release_id <> $2
                               and i.state in ('starting', 'healthy', 'unhealthy', 'draining'))
                 on conflict do nothing)
             select pg_notify('windlass', 'app ' || p.app_id) as app,
                    pg_notify('windlass', 'deployment ' || p.app_id || ' ' || r.deployment_id) as deployment
             from promoted p join releases r on r.id = $2",
            app.uuid(),
            release.uuid(),
            worker.0
        )
        .fetch_optional(self.pool())
        .await?;
        Ok(done.is_some())
    }

    /// Records why the candidate cannot become live. False: it is no longer the candidate, that is known already, or this worker no
    /// longer holds the app.
    pub async fn fail_candidate(
        &self,
        worker: WorkerId,
        (app, release): (AppId, ReleaseId),
        failure: &Failure,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        if !holds_app(&mut tx, app, worker).await? {
            return Ok(false);
        }
        let deployment = sqlx::query_scalar!(
            r#"update app_states set candidate_failure = $3
             where app_id = $1 and candidate_release_id = $2 and candidate_failure is null
             returning (select deployment_id from releases where id = $2) as "deployment!""#,
            app.uuid(),
            release.uuid(),
            Json(storable_failure(failure)) as _
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(deployment) = deployment.map(DeploymentId::from_uuid) else {
            return Ok(false);
        };
        notify(&mut tx, Event::App(app)).await?;
        notify(&mut tx, Event::Deployment { app, deployment }).await?;
        tx.commit().await?;
        Ok(true)
    }
}
