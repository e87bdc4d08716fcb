//! The log of a deployment: kept line by line, numbered without gaps, so that a reader can continue where it stopped.

use sqlx::PgConnection;
use windlass_domain::{DeploymentId, LogLine, LogSource, TeamId};

use crate::{Event, Store, StoreError, error::word, events::notify, text::storable};

impl Store {
    /// The lines after `after_seq` (0 for all), at most `limit` of them.
    pub async fn deployment_log(
        &self,
        team: TeamId,
        deployment: DeploymentId,
        after_seq: i64,
        limit: u32,
    ) -> Result<Vec<LogLine>, StoreError> {
        let rows = sqlx::query!(
            "select seq, at, source, text from deployment_log
             where deployment_id = $1 and team_id = $2 and seq > $3 order by seq limit $4",
            deployment.uuid(),
            team.uuid(),
            after_seq,
            i64::from(limit)
        )
        .fetch_all(self.pool())
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(LogLine {
                    seq: row.seq,
                    at: row.at,
                    source: word("log source", &row.source, LogSource::parse)?,
                    text: row.text,
                })
            })
            .collect()
    }

    /// Appends lines and returns the number of the last; 0 if there is no such deployment. Worker side: over all teams.
    pub async fn append_deployment_log(
        &self,
        deployment: DeploymentId,
        lines: &[(LogSource, String)],
    ) -> Result<i64, StoreError> {
        let mut tx = self.begin().await?;
        let last = append(&mut tx, deployment, lines).await?;
        tx.commit().await?;
        Ok(last)
    }
}

/// Appends lines within a transaction. The lock on the deployment makes writers wait for each other: no number is given twice,
/// and none is left out.
pub(crate) async fn append(
    connection: &mut PgConnection,
    deployment: DeploymentId,
    lines: &[(LogSource, String)],
) -> Result<i64, sqlx::Error> {
    // On its own, because a statement that waited for a lock would still see the rows as they were before it waited.
    sqlx::query!(
        "select id from deployments where id = $1 for no key update",
        deployment.uuid()
    )
    .fetch_optional(&mut *connection)
    .await?;
    let sources: Vec<String> = lines.iter().map(|(source, _)| source.as_str().to_owned()).collect();
    let texts: Vec<String> = lines.iter().map(|(_, text)| storable(text)).collect();
    let last = sqlx::query_scalar!(
        r#"with last as (select coalesce(max(seq), 0) as seq from deployment_log where deployment_id = $1),
                written as (
                    insert into deployment_log (deployment_id, team_id, seq, source, text)
                    select d.id, d.team_id, last.seq + line.n, line.source, line.text
                    from deployments d, last,
                         unnest($2::text[], $3::text[]) with ordinality as line (source, text, n)
                    where d.id = $1
                    returning seq
                )
           select coalesce((select max(seq) from written), (select seq from last)) as "seq!""#,
        deployment.uuid(),
        &sources,
        &texts
    )
    .fetch_one(&mut *connection)
    .await?;
    notify(connection, Event::DeploymentLog(deployment)).await?;
    Ok(last)
}
