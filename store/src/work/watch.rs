//! Releases that went live a moment ago and are watched: what they did, and the way back to the last good one.

use sqlx::{PgConnection, types::Json};
use windlass_domain::{
    AppId, AppName, AppSettings, DeploymentId, DeploymentKind, InstanceId, LogSource, ReleaseId, ReleaseVersion,
    TeamId, Watch,
};

use crate::{
    NewDeployment, ReleaseRow, Store, StoreError, Trigger,
    deployment_log::append,
    deployments::insert_deployment,
    error::{count, unreadable},
    releases::{number, select_releases, version},
    text::storable,
};

/// A live release within its watch window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedRelease {
    /// Its app.
    pub app: AppId,
    /// The app's name.
    pub name: AppName,
    /// The release.
    pub release: ReleaseId,
    /// Its number.
    pub version: ReleaseVersion,
    /// What is too bad.
    pub watch: Watch,
    /// How often its instances ended by themselves since it went live, in rounds: those of a process type that end together (a
    /// reboot ends all) are one.
    pub crashes: u32,
    /// All its instances, ended ones too: the router counts by them.
    pub instances: Vec<InstanceId>,
}

/// A live release that was judged to be bad, and that nothing is on its way to replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CondemnedRelease {
    /// Its app.
    pub app: AppId,
    /// The app's name.
    pub name: AppName,
    /// The release.
    pub release: ReleaseId,
    /// Its number.
    pub version: ReleaseVersion,
    /// The last release before it that got through its own window, or at least had no trouble until it was replaced.
    pub last_good: ReleaseVersion,
    /// What was found of it.
    pub verdict: String,
}

impl Store {
    /// The releases of all teams that are within their watch window. A rollback is not watched: that would only lead back and
    /// forth. Nor is one that was judged already, or that has nothing to go back to.
    pub async fn watched_releases(&self) -> Result<Vec<WatchedRelease>, StoreError> {
        let rows = sqlx::query!(
            r#"select s.app_id, a.name, r.id, r.version,
                      r.settings as "settings: Json<AppSettings>",
                      (select coalesce(max(ended.rounds), 0)::int from (
                           select ceil(count(*)::numeric / greatest(coalesce(f.quantity, 1), 1)) as rounds
                           from instances i
                           left join formation f on f.app_id = i.app_id and f.process = i.process
                           where i.release_id = r.id and i.state = 'crashed' and i.exit_code is not null
                             and i.finished_at >= s.live_since
                           group by i.process, f.quantity) ended) as "crashes!",
                      array(select i.id from instances i where i.release_id = r.id) as "instances!"
               from app_states s
               join apps a on a.id = s.app_id
               join releases r on r.id = s.live_release_id
               join releases p on p.id = s.previous_release_id
               join deployments d on d.id = r.deployment_id
               where s.live_since > now() - make_interval(secs => coalesce((r.settings->'watch'->>'seconds')::int, 60))
                 and s.watched_release_id is distinct from r.id
                 and d.kind->>'type' <> 'rollback' and a.deleting_at is null
               order by s.app_id"#
        )
        .fetch_all(self.pool())
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(WatchedRelease {
                    app: AppId::from_uuid(row.app_id),
                    name: row.name.parse().map_err(unreadable)?,
                    release: ReleaseId::from_uuid(row.id),
                    version: version(row.version)?,
                    watch: row.settings.0.watch,
                    crashes: count(row.crashes)?,
                    instances: row.instances.into_iter().map(InstanceId::from_uuid).collect(),
                })
            })
            .collect()
    }

    /// Judges a release: it is bad, and this was found of it. False: it is no longer live, or was judged before.
    pub async fn condemn(&self, watched: &WatchedRelease, verdict: &str) -> Result<bool, StoreError> {
        let judged = sqlx::query!(
            "update app_states set watched_release_id = $2, watch_verdict = $3
             where app_id = $1 and live_release_id = $2 and watched_release_id is distinct from $2",
            watched.app.uuid(),
            watched.release.uuid(),
            storable(verdict)
        )
        .execute(self.pool())
        .await?;
        Ok(judged.rows_affected() == 1)
    }

    /// The releases of all teams that were judged to be bad and are still live. Another deployment of the app that is on its way may
    /// be the cure: until it is over they are left alone.
    pub async fn condemned_releases(&self) -> Result<Vec<CondemnedRelease>, StoreError> {
        let rows = sqlx::query!(
            r#"select s.app_id, a.name, r.id, r.version, p.version as last_good, s.watch_verdict as "verdict!"
               from app_states s
               join apps a on a.id = s.app_id
               join releases r on r.id = s.live_release_id
               join releases p on p.id = s.previous_release_id
               where s.watch_verdict is not null and s.watched_release_id = r.id and a.deleting_at is null
                 and not exists (select from deployments d where d.app_id = s.app_id and d.status in ('pending', 'running'))
               order by s.app_id"#
        )
        .fetch_all(self.pool())
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(CondemnedRelease {
                    app: AppId::from_uuid(row.app_id),
                    name: row.name.parse().map_err(unreadable)?,
                    release: ReleaseId::from_uuid(row.id),
                    version: version(row.version)?,
                    last_good: version(row.last_good)?,
                    verdict: row.verdict,
                })
            })
            .collect()
    }

    /// Asks for a rollback to the last good release, and says why. None: it is no longer live, its rollback was asked for before, or
    /// another deployment of the app is on its way.
    pub async fn roll_back_condemned(&self, condemned: &CondemnedRelease) -> Result<Option<DeploymentId>, StoreError> {
        let mut tx = self.begin().await?;
        // In the order of all who ask for a deployment: first the app, which keeps its config vars and its deployments as they are.
        let app = sqlx::query_scalar!(
            "select id from apps where id = $1 and deleting_at is null for no key update",
            condemned.app.uuid()
        );
        if app.fetch_optional(&mut *tx).await?.is_none() {
            return Ok(None);
        }
        let team = sqlx::query_scalar!(
            "update app_states s set watch_verdict = null
             where app_id = $1 and live_release_id = $2 and watched_release_id = $2 and watch_verdict is not null
               and not exists (select from deployments d where d.app_id = $1 and d.status in ('pending', 'running'))
             returning team_id",
            condemned.app.uuid(),
            condemned.release.uuid()
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(team) = team else { return Ok(None) };
        let message = format!("{} is rolled back by itself: {}", condemned.version, condemned.verdict);
        let asked = self
            .ask_rollback(&mut tx, (TeamId::from_uuid(team), condemned), &message)
            .await?;
        let Some(deployment) = asked else { return Ok(None) };
        let line = (LogSource::Windlass, format!(" !     {message}"));
        append(&mut tx, deployment, &[line]).await?;
        tx.commit().await?;
        Ok(Some(deployment))
    }

    /// The rollback as a user would ask for it: with the config vars of the release that it goes back to. They may be what was bad.
    async fn ask_rollback(
        &self,
        connection: &mut PgConnection,
        (team, condemned): (TeamId, &CondemnedRelease),
        message: &str,
    ) -> Result<Option<DeploymentId>, StoreError> {
        let (app, to) = (condemned.app, condemned.last_good);
        let target = select_releases!("where r.app_id = $1 and r.version = $2", app.uuid(), number(to))
            .fetch_one(&mut *connection)
            .await?;
        let target = ReleaseRow::try_from(target)?;
        self.restore_config(connection, app, target.config_version, None)
            .await?;
        let new = NewDeployment {
            kind: DeploymentKind::Rollback { to },
            trigger: Trigger::Watch,
            reference: Some(to.to_string()),
            commit: target.commit,
            message: Some(message.to_owned()),
            by: None,
        };
        let row = insert_deployment(connection, team, app, &new).await?;
        Ok(row.map(|row| row.id))
    }
}
