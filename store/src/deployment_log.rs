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

    /// As [`Store::append_deployment_log`], but lines that stand in a row after the number `after` already are not appended again:
    /// so an uncertain write can be repeated, if `after` is what the log ended with before the first try. Returns their last number.
    pub async fn append_deployment_log_once(
        &self,
        deployment: DeploymentId,
        after: i64,
        lines: &[(LogSource, String)],
    ) -> Result<i64, StoreError> {
        let mut tx = self.begin().await?;
        if let Some(last) = appended(&mut tx, deployment, after, lines).await? {
            return Ok(last);
        }
        let last = append(&mut tx, deployment, lines).await?;
        tx.commit().await?;
        Ok(last)
    }
}

/// The number of the last of these lines if they stand in a row after the number `after`. One transaction wrote them, so nobody
/// else's are among them.
async fn appended(
    connection: &mut PgConnection,
    deployment: DeploymentId,
    after: i64,
    lines: &[(LogSource, String)],
) -> Result<Option<i64>, sqlx::Error> {
    lock(connection, deployment).await?;
    let rows = sqlx::query!(
        "select seq, source, text from deployment_log where deployment_id = $1 and seq > $2 order by seq",
        deployment.uuid(),
        after
    )
    .fetch_all(connection)
    .await?;
    let lines: Vec<_> = lines
        .iter()
        .map(|(source, text)| (source.as_str(), storable(text)))
        .collect();
    let found = rows.windows(lines.len().max(1)).find(|rows| {
        let rows = rows.iter().map(|row| (row.source.as_str(), &row.text));
        rows.eq(lines.iter().map(|(source, text)| (*source, text)))
    });
    Ok(found.and_then(|rows| rows.last()).map(|row| row.seq))
}

/// Makes writers wait for each other: no number is given twice, and none is left out. On its own, because a statement that waited
/// for a lock would still see the rows as they were before it waited.
async fn lock(connection: &mut PgConnection, deployment: DeploymentId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select id from deployments where id = $1 for no key update",
        deployment.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(())
}

/// Appends lines within a transaction.
pub(crate) async fn append(
    connection: &mut PgConnection,
    deployment: DeploymentId,
    lines: &[(LogSource, String)],
) -> Result<i64, sqlx::Error> {
    lock(connection, deployment).await?;
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
