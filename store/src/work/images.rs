//! Images: recorded once per deployment, forgotten when they are removed from the machine.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;
use windlass_domain::{AppId, CommitSha, DeploymentId, ImageId, ProcessSpec};

use super::{
    progress::hold,
    types::{ImageRow, NewImage},
};
use crate::{Store, StoreError, deployments::commit, error::unreadable, releases::ports};

macro_rules! select_images {
    ($tail:tt $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            RawImage,
            r#"select i.id, i.app_id, i.deployment_id, i.reference, i.digest, i.commit_id,
                      i.processes as "processes: sqlx::types::Json<Vec<windlass_domain::ProcessSpec>>",
                      i.exposed_ports, i.size_bytes, i.created_at, i.removed_at
               from images i "# + $tail
            $(, $arg)*
        )
    };
}

struct RawImage {
    id: Uuid,
    app_id: Uuid,
    deployment_id: Uuid,
    reference: String,
    digest: String,
    commit_id: Option<String>,
    processes: Json<Vec<ProcessSpec>>,
    exposed_ports: Vec<i32>,
    size_bytes: i64,
    created_at: DateTime<Utc>,
    removed_at: Option<DateTime<Utc>>,
}

impl TryFrom<RawImage> for ImageRow {
    type Error = StoreError;

    fn try_from(raw: RawImage) -> Result<Self, StoreError> {
        Ok(Self {
            id: ImageId::from_uuid(raw.id),
            app: AppId::from_uuid(raw.app_id),
            deployment: DeploymentId::from_uuid(raw.deployment_id),
            reference: raw.reference,
            digest: raw.digest,
            commit: commit(raw.commit_id)?,
            processes: raw.processes.0,
            exposed_ports: ports(&raw.exposed_ports)?,
            size_bytes: u64::try_from(raw.size_bytes).map_err(unreadable)?,
            created_at: raw.created_at,
            removed_at: raw.removed_at,
        })
    }
}

/// The image that a deployment built, if it got that far and the image is still there.
pub(super) async fn image_of(
    connection: &mut PgConnection,
    deployment: DeploymentId,
) -> Result<Option<ImageRow>, StoreError> {
    let row = select_images!("where i.deployment_id = $1 and i.removed_at is null", deployment.uuid())
        .fetch_optional(connection)
        .await?;
    row.map(ImageRow::try_from).transpose()
}

impl Store {
    /// Records the image that a deployment built. What an earlier attempt recorded is replaced only as long as no release has
    /// it. None: the deployment is no longer ours.
    pub async fn record_image(
        &self,
        deployment: DeploymentId,
        attempt: i32,
        image: NewImage,
    ) -> Result<Option<ImageRow>, StoreError> {
        let mut tx = self.begin().await?;
        let Some(held) = hold(&mut tx, deployment, attempt).await? else {
            return Ok(None);
        };
        upsert_image(&mut tx, (held.app, held.team, deployment), &image).await?;
        sqlx::query!(
            "update deployments d set image_id = i.id from images i where d.id = $1 and i.deployment_id = d.id",
            deployment.uuid()
        )
        .execute(&mut *tx)
        .await?;
        let row = image_of(&mut tx, deployment).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// The images of an app that are on the machine, newest first.
    pub async fn images_of(&self, app: AppId) -> Result<Vec<ImageRow>, StoreError> {
        let rows = select_images!(
            "where i.app_id = $1 and i.removed_at is null order by i.id desc",
            app.uuid()
        )
        .fetch_all(self.pool())
        .await?;
        rows.into_iter().map(ImageRow::try_from).collect()
    }

    /// Records that an image was found to be no longer on the machine, whoever removed it.
    pub async fn mark_image_removed(&self, image: ImageId) -> Result<(), StoreError> {
        sqlx::query!(
            "update images set removed_at = now() where id = $1 and removed_at is null",
            image.uuid()
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Records that an image is about to be removed, if still nobody will miss it. False: somebody would, such as a rollback that
    /// was asked for a moment ago. Whoever asks for one from now on sees that the image is gone.
    pub async fn claim_image_removal(&self, image: ImageId, keep: u32) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        // Whoever asks for a deployment locks the app as well. In a statement of its own: the next one sees what was committed
        // while this one waited.
        sqlx::query!(
            "select a.id from apps a where a.id = (select app_id from images where id = $1) for no key update",
            image.uuid()
        )
        .fetch_optional(&mut *tx)
        .await?;
        if removable(&mut tx, keep, Some(image)).await?.is_empty() {
            return Ok(false);
        }
        sqlx::query!("update images set removed_at = now() where id = $1", image.uuid())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Takes back that an image was removed: the machine would not give it up.
    pub async fn unmark_image_removed(&self, image: ImageId) -> Result<(), StoreError> {
        sqlx::query!("update images set removed_at = null where id = $1", image.uuid())
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// The images that nobody will miss, of all apps: of no live or candidate release, of no live instance, of no
    /// deployment that is open or wants to go back to it, and not among the `keep` newest different images of the app that were
    /// live. Releases that differ in config vars only count as one; equal images that were built several times do, too.
    pub async fn removable_images(&self, keep: u32) -> Result<Vec<(AppId, ImageRow)>, StoreError> {
        let mut connection = self.pool().acquire().await?;
        removable(&mut connection, keep, None).await
    }

    /// The apps of all teams that are not being deleted.
    pub async fn kept_apps(&self) -> Result<Vec<AppId>, StoreError> {
        let rows = sqlx::query_scalar!("select id from apps where deleting_at is null order by id")
            .fetch_all(self.pool())
            .await?;
        Ok(rows.into_iter().map(AppId::from_uuid).collect())
    }

    /// Which of these apps have no row at all: all that is left of them is left over.
    pub async fn unknown_apps(&self, apps: &[AppId]) -> Result<Vec<AppId>, StoreError> {
        let asked: Vec<Uuid> = apps.iter().map(|app| app.uuid()).collect();
        let known = sqlx::query_scalar!("select id from apps where id = any($1)", &asked)
            .fetch_all(self.pool())
            .await?;
        let is_unknown = |app: &&AppId| !known.contains(&app.uuid());
        Ok(apps.iter().filter(is_unknown).copied().collect())
    }

    /// The deployments of an app that wait or run: what they have built may not be recorded yet.
    pub async fn open_deployments(&self, app: AppId) -> Result<Vec<DeploymentId>, StoreError> {
        let rows = sqlx::query_scalar!(
            "select id from deployments where app_id = $1 and status in ('pending', 'running')",
            app.uuid()
        )
        .fetch_all(self.pool())
        .await?;
        Ok(rows.into_iter().map(DeploymentId::from_uuid).collect())
    }
}

/// Equal images have a tag for each time that they were built; so many of them are kept for each different one.
const TAGS: u32 = 10;

async fn removable(
    connection: &mut PgConnection,
    keep: u32,
    only: Option<ImageId>,
) -> Result<Vec<(AppId, ImageRow)>, StoreError> {
    let rows = select_images!(
        "join app_states s on s.app_id = i.app_id
         where i.removed_at is null and ($3::uuid is null or i.id = $3)
           and not exists (select from releases r
                           where r.image_id = i.id and r.id in (s.live_release_id, s.candidate_release_id))
           and not exists (select from instances n join releases r on r.id = n.release_id
                           where r.image_id = i.id
                             and n.state in ('starting', 'healthy', 'unhealthy', 'draining'))
           and not exists (select from deployments d left join releases r
                                  on r.app_id = d.app_id and r.version = (d.kind->>'to')::integer
                           where d.app_id = i.app_id and d.status in ('pending', 'running')
                             and (d.id = i.deployment_id or r.image_id = i.id))
           and i.id not in (
               select newest.image_id
               from (select r.image_id, k.digest, max(r.version) as version
                     from releases r
                     join deployments d on d.id = r.deployment_id
                     join images k on k.id = r.image_id
                     where r.app_id = i.app_id and d.status = 'succeeded'
                     group by r.image_id, k.digest order by max(r.version) desc limit $2) newest
               where newest.digest in (
                   select k.digest
                   from releases r
                   join deployments d on d.id = r.deployment_id
                   join images k on k.id = r.image_id
                   where r.app_id = i.app_id and d.status = 'succeeded'
                   group by k.digest order by max(r.version) desc limit $1))
         order by i.id",
        i64::from(keep),
        i64::from(keep) * i64::from(TAGS),
        only.map(ImageId::uuid)
    )
    .fetch_all(connection)
    .await?;
    let rows = rows.into_iter().map(ImageRow::try_from);
    rows.map(|row| row.map(|row| (row.app, row))).collect()
}

async fn upsert_image(
    connection: &mut PgConnection,
    (app, team, deployment): (AppId, Uuid, DeploymentId),
    image: &NewImage,
) -> Result<(), sqlx::Error> {
    let ports: Vec<i32> = image.exposed_ports.iter().copied().map(i32::from).collect();
    sqlx::query!(
        "insert into images (id, team_id, app_id, deployment_id, reference, digest, commit_id, processes, exposed_ports,
                             size_bytes)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict (deployment_id) do update
         set reference = excluded.reference, digest = excluded.digest, commit_id = excluded.commit_id,
             processes = excluded.processes, exposed_ports = excluded.exposed_ports, size_bytes = excluded.size_bytes,
             removed_at = null
         where not exists (select from releases r where r.image_id = images.id)",
        ImageId::generate().uuid(),
        team,
        app.uuid(),
        deployment.uuid(),
        image.reference,
        image.digest,
        image.commit.as_ref().map(CommitSha::as_str),
        Json(&image.processes) as _,
        &ports,
        i64::try_from(image.size_bytes).unwrap_or(i64::MAX)
    )
    .execute(connection)
    .await?;
    Ok(())
}
