//! The run log as it is collected: batches with their cursor, and a bound per app.

use sqlx::PgConnection;

use super::types::{NewRunLog, RunLogBatch};
use crate::{Event, Store, StoreError, events::notify, text::storable};

/// An app's log is trimmed each time that it grew by this part of its bounds.
const SLACK: u64 = 10;

/// Lines and bytes of text: how large a batch is, or how much an app's log may still get before it is trimmed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunLogSize {
    lines: u64,
    bytes: u64,
}

impl RunLogSize {
    fn of(batch: &RunLogBatch) -> Self {
        Self {
            lines: batch.lines.len() as u64,
            bytes: batch.lines.iter().map(|line| line.text.len() as u64).sum(),
        }
    }

    /// How much may come after a trim until the next.
    fn slack(batch: &RunLogBatch) -> Self {
        Self {
            lines: u64::from(batch.max_lines) / SLACK,
            bytes: batch.max_bytes / SLACK,
        }
    }

    /// What is left after `other`; none: it does not fit.
    fn without(self, other: Self) -> Option<Self> {
        Some(Self {
            lines: self.lines.checked_sub(other.lines)?,
            bytes: self.bytes.checked_sub(other.bytes)?,
        })
    }
}

impl Store {
    /// Records lines together with how far the log is collected now. A batch that was recorded before is left out, so that an
    /// uncertain write can be repeated; of one that was recorded in part (two workers may read one log for a moment) only the rest
    /// is. Lines of one app become visible in the order of their ids.
    pub async fn append_run_log(&self, batch: &RunLogBatch) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let Some(recorded_ns) = advance(&mut tx, batch).await? else {
            return Ok(());
        };
        insert_lines(&mut tx, batch, recorded_ns).await?;
        let trim = self.room_after(batch).await.is_none();
        if trim {
            trim_log(&mut tx, batch).await?;
        }
        if !batch.lines.is_empty() {
            notify(&mut tx, Event::RunLog(batch.app)).await?;
        }
        tx.commit().await?;
        let left = if trim { None } else { self.room_after(batch).await };
        let room = left.unwrap_or_else(|| RunLogSize::slack(batch));
        self.inner.run_log_room.lock().await.insert(batch.app, room);
        Ok(())
    }

    /// What is left of the app's room after the batch; none: it does not fit, or nothing is known yet of the app's log.
    async fn room_after(&self, batch: &RunLogBatch) -> Option<RunLogSize> {
        let rooms = self.inner.run_log_room.lock().await;
        rooms.get(&batch.app)?.without(RunLogSize::of(batch))
    }
}

/// Moves the cursor and returns where it was; none: the batch was recorded before, or the instance is gone. The lock on the app
/// keeps its lines in order: a reader that continues after a line must not miss one with a smaller id that is committed later.
async fn advance(connection: &mut PgConnection, batch: &RunLogBatch) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query!(
        "select app_id from app_states where app_id = $1 for no key update",
        batch.app.uuid()
    )
    .fetch_optional(&mut *connection)
    .await?;
    sqlx::query_scalar!(
        r#"with before as (
               select id, log_cursor_ns from instances
               where id = $1 and app_id = $2 and log_cursor_ns < $3 for no key update
           )
           update instances i set log_cursor_ns = $3 from before where i.id = before.id
           returning before.log_cursor_ns as "recorded!""#,
        batch.instance.uuid(),
        batch.app.uuid(),
        batch.cursor_ns
    )
    .fetch_optional(connection)
    .await
}

async fn insert_lines(connection: &mut PgConnection, batch: &RunLogBatch, recorded_ns: i64) -> Result<(), sqlx::Error> {
    // The two streams of a container are stamped apart, so among one collector's lines a later one may be older: only what somebody
    // else recorded is told apart by time.
    let contested = recorded_ns != batch.from_ns;
    let is_new = |line: &&NewRunLog| !contested || line.at.timestamp_nanos_opt().is_none_or(|at| at > recorded_ns);
    let lines: Vec<_> = batch.lines.iter().filter(is_new).collect();
    let times: Vec<_> = lines.iter().map(|line| line.at).collect();
    let streams: Vec<String> = lines.iter().map(|line| line.stream.clone()).collect();
    let texts: Vec<String> = lines.iter().map(|line| storable(&line.text)).collect();
    sqlx::query!(
        "insert into run_log (app_id, team_id, at, process, instance, stream, text)
         select a.id, a.team_id, line.at, $2, $3, line.stream, line.text
         from apps a, unnest($4::timestamptz[], $5::text[], $6::text[]) with ordinality as line (at, stream, text, n)
         where a.id = $1 order by line.n",
        batch.app.uuid(),
        batch.process.as_str(),
        batch.instance_name,
        &times,
        &streams,
        &texts
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes all but the newest lines of an app: so many, and so much text.
async fn trim_log(connection: &mut PgConnection, batch: &RunLogBatch) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from run_log where app_id = $1
           and id <= (select max(id)
                      from (select id, row_number() over newest as lines, sum(octet_length(text)) over newest as bytes
                            from run_log where app_id = $1 window newest as (order by id desc)) sizes
                      where lines > $2 or bytes > $3)",
        batch.app.uuid(),
        i64::from(batch.max_lines),
        i64::try_from(batch.max_bytes).unwrap_or(i64::MAX)
    )
    .execute(connection)
    .await?;
    Ok(())
}
