//! Webhooks: whom a push concerns, and the memory of deliveries that keeps a redelivery from deploying twice.

use std::time::Duration;

use windlass_domain::{AppId, AppName, BranchName, DeploymentId, Secret, TeamId};

use crate::{
    DeploymentRow, NewDeployment, Store, StoreError, deployments::insert_deployment, error::unreadable, text::storable,
};

/// An app that a push to a repository may concern; the signature decides.
#[derive(Debug, Clone)]
pub struct WebhookTarget {
    /// The app.
    pub app: AppId,
    /// Its team.
    pub team: TeamId,
    /// Its name.
    pub name: AppName,
    /// The branch whose pushes are deployed.
    pub branch: BranchName,
    /// What its webhooks are signed with.
    pub secret: Secret<String>,
}

/// One delivery of a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The forge, such as `github`.
    pub forge: String,
    /// The forge's id of the delivery; the same when it delivers again.
    pub id: String,
    /// The event, such as `push`.
    pub event: String,
}

/// A delivery and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// The delivery.
    pub delivery: Delivery,
    /// The app.
    pub app: AppId,
    /// Its team.
    pub team: TeamId,
    /// What became of it, in a word, such as `pong` or `other_branch`.
    pub verdict: String,
    /// The deployment it led to.
    pub deployment: Option<DeploymentId>,
}

/// What a push led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// A deployment.
    Deployed(Box<DeploymentRow>),
    /// Nothing: this delivery was seen before.
    Duplicate,
    /// Nothing: the app is gone or being deleted.
    AppGone,
}

impl Store {
    /// The apps of all teams that are built from a repository, by [`windlass_domain::RepoUrl::identity`]. A delivery names no
    /// team: the signature decides which of them it concerns.
    pub async fn webhook_targets(&self, repo_identity: &str) -> Result<Vec<WebhookTarget>, StoreError> {
        let rows = sqlx::query!(
            r#"select id, team_id, name, settings->>'branch' as "branch!", webhook_secret from apps
               where repo_identity = $1 and deleting_at is null order by id"#,
            storable(repo_identity)
        )
        .fetch_all(self.pool())
        .await?;
        rows.into_iter()
            .map(|row| {
                let app = AppId::from_uuid(row.id);
                Ok(WebhookTarget {
                    app,
                    team: TeamId::from_uuid(row.team_id),
                    name: row.name.parse().map_err(unreadable)?,
                    branch: row.branch.parse().map_err(unreadable)?,
                    secret: self.open_webhook_secret(app, &row.webhook_secret)?,
                })
            })
            .collect()
    }

    /// Remembers a delivery that deploys nothing; false: it was seen before, or the app is gone.
    pub async fn record_delivery(&self, record: &DeliveryRecord) -> Result<bool, StoreError> {
        let mut connection = self.pool().acquire().await?;
        Ok(insert_delivery(&mut connection, record).await?)
    }

    /// Remembers a push and deploys it, in one transaction: a redelivery never deploys twice, and a delivery that was answered
    /// is never lost.
    pub async fn deliver_push(
        &self,
        target: &WebhookTarget,
        delivery: &Delivery,
        new: NewDeployment,
    ) -> Result<Delivered, StoreError> {
        let mut tx = self.begin().await?;
        let Some(deployment) = insert_deployment(&mut tx, target.team, target.app, &new).await? else {
            return Ok(Delivered::AppGone);
        };
        let record = DeliveryRecord {
            delivery: delivery.clone(),
            app: target.app,
            team: target.team,
            verdict: "deployed".to_owned(),
            deployment: Some(deployment.id),
        };
        if !insert_delivery(&mut tx, &record).await? {
            tx.rollback().await?;
            return Ok(Delivered::Duplicate);
        }
        tx.commit().await?;
        Ok(Delivered::Deployed(Box::new(deployment)))
    }

    /// Forgets deliveries older than `age`; returns how many. Forges deliver again for some days at most.
    pub async fn forget_deliveries(&self, age: Duration) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            "delete from webhook_deliveries where received_at < now() - make_interval(secs => $1)",
            age.as_secs_f64()
        )
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected())
    }
}

/// Waits for a delivery of the same id that is being recorded at this moment; false if that one is recorded then.
async fn insert_delivery(connection: &mut sqlx::PgConnection, record: &DeliveryRecord) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into webhook_deliveries (forge, delivery_id, app_id, team_id, event, verdict, deployment_id)
         select $1, $2, a.id, a.team_id, $5, $6, $7 from apps a where a.id = $3 and a.team_id = $4
         on conflict do nothing",
        storable(&record.delivery.forge),
        storable(&record.delivery.id),
        record.app.uuid(),
        record.team.uuid(),
        storable(&record.delivery.event),
        storable(&record.verdict),
        record.deployment.map(DeploymentId::uuid),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}
