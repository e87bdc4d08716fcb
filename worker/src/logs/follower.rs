//! Reads the log of one container and stores it in batches, each with how far it then has been read.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::DateTime;
use futures::{StreamExt, stream::BoxStream};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use windlass_domain::{AppId, InstanceId, ProcessType, Redactor, ReleaseId, log::clean_line};
use windlass_runtime::{ContainerId, LogStream, LogsFrom, RunLogLine, Runtime, RuntimeError};
use windlass_store::{NewRunLog, RunLogBatch, Store, StoreError};

use super::flood::Flood;

/// Lines of an app that are kept …
const KEEP_LINES: u32 = 10_000;
/// … and bytes of their text.
const KEEP_BYTES: u64 = 16 << 20;
/// A line of more characters is cut, …
const MAX_LINE_CHARS: usize = 4_000;
/// … and one of more bytes: a character may have four, and a change of colour counts as one.
pub(super) const MAX_LINE_BYTES: usize = 8 << 10;
/// Lines are written together when so many have come …
const BATCH: usize = 400;
/// … or so much time has passed.
const FLUSH: Duration = Duration::from_millis(100);
/// A flood is over when nothing has come for so long.
const QUIET: Duration = Duration::from_secs(1);
/// How long to wait before a write is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Tries of a batch that the database refuses though it answers.
const REFUSALS: u32 = 60;

type Lines = BoxStream<'static, Result<RunLogLine, RuntimeError>>;

/// Where the lines of one container belong.
pub(super) struct Origin {
    pub(super) app: AppId,
    pub(super) instance: InstanceId,
    pub(super) release: ReleaseId,
    pub(super) process: ProcessType,
    pub(super) name: String,
    pub(super) container: ContainerId,
    pub(super) cursor_ns: i64,
}

/// Follows the log of one container.
pub(super) struct Follower {
    pub(super) store: Store,
    pub(super) origin: Origin,
    pub(super) stop: CancellationToken,
    /// How many lines it has read; others see by it whether it gets on.
    pub(super) read: Arc<AtomicU64>,
}

impl Follower {
    /// Follows until the log ends or breaks off. When it is stopped, what it has not written yet is left to the next one: the
    /// cursor says where to go on.
    pub(super) async fn run(mut self, runtime: Arc<dyn Runtime>) {
        let Some(redactor) = self.redactor().await else { return };
        let mut lines = runtime.logs(&self.origin.container, self.unread());
        let mut batch: Vec<RunLogLine> = Vec::new();
        let mut flood = Flood::default();
        let mut flush_at: Option<Instant> = None;
        loop {
            let quiet_at = flood.is_holding().then(|| Instant::now() + QUIET);
            let Some(got) = self.next(&mut lines, flush_at, quiet_at).await else {
                return;
            };
            let ended = matches!(got, Got::End);
            match got {
                Got::Line(line) => flood.take(line, &mut batch),
                Got::Quiet | Got::End => flood.release(&mut batch),
                Got::Enough => {}
            }
            let due = flush_at.is_some_and(|at| at <= Instant::now());
            if !ended && !due && batch.len() < BATCH {
                if !batch.is_empty() {
                    flush_at.get_or_insert_with(|| Instant::now() + FLUSH);
                }
                continue;
            }
            if self.flush(&redactor, &mut batch).await == Written::Stopped || ended {
                return;
            }
            flush_at = None;
        }
    }

    /// What happens next; none: it is to stop.
    async fn next(&self, lines: &mut Lines, flush_at: Option<Instant>, quiet_at: Option<Instant>) -> Option<Got> {
        tokio::select! {
            () = self.stop.cancelled() => None,
            () = moment(flush_at) => Some(Got::Enough),
            () = moment(quiet_at) => Some(Got::Quiet),
            line = lines.next() => Some(line.map_or(Got::End, |line| self.got(line))),
        }
    }

    fn got(&self, line: Result<RunLogLine, RuntimeError>) -> Got {
        match line {
            Ok(line) => {
                self.read.fetch_add(1, Ordering::Relaxed);
                Got::Line(line)
            }
            Err(error) => {
                tracing::debug!(instance = %self.origin.instance, error = %error, "the log of an instance broke off");
                Got::End
            }
        }
    }

    /// All that came after the cursor; of a long backlog only what would be kept, and so the end of it soonest.
    fn unread(&self) -> LogsFrom {
        let cursor = self.origin.cursor_ns;
        LogsFrom {
            since: (cursor > 0).then(|| DateTime::from_timestamp_nanos(cursor)),
            follow: true,
            tail: Some(KEEP_LINES),
        }
    }

    /// What must not show in the log; waits for the database, without which nothing can be stored anyway.
    async fn redactor(&self) -> Option<Redactor> {
        loop {
            match self.store.config_of_release(self.origin.release).await {
                Ok(config) => {
                    return Some(config.map_or_else(Redactor::default, |config| Redactor::new(config.vars.values())));
                }
                Err(error) => tracing::debug!(error = %error, "a run log waits for the database"),
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = sleep(AGAIN) => {}
            }
        }
    }

    async fn flush(&mut self, redactor: &Redactor, batch: &mut Vec<RunLogLine>) -> Written {
        let origin = &self.origin;
        // The two streams are stamped apart, so the last line need not be the newest.
        let newest = batch.iter().filter_map(|line| line.at.timestamp_nanos_opt()).max();
        let Some(cursor_ns) = newest.map(|newest| newest.max(origin.cursor_ns + 1)) else {
            return Written::Yes;
        };
        let rows = RunLogBatch {
            app: origin.app,
            instance: origin.instance,
            instance_name: origin.name.clone(),
            process: origin.process.clone(),
            lines: batch.drain(..).map(|line| new_line(redactor, &line)).collect(),
            from_ns: origin.cursor_ns,
            cursor_ns,
            max_lines: KEEP_LINES,
            max_bytes: KEEP_BYTES,
        };
        let written = write(&self.stop, || self.store.append_run_log(&rows)).await;
        match written {
            Written::Yes => self.origin.cursor_ns = cursor_ns,
            Written::Refused => {
                tracing::warn!(instance = %rows.instance, lines = rows.lines.len(), "lines of a run log were given up");
            }
            Written::Stopped => {}
        }
        written
    }
}

async fn moment(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// What comes next from a log.
enum Got {
    Line(RunLogLine),
    /// What has come so far is to be written.
    Enough,
    /// Nothing came for a while, though the flood of before may go on.
    Quiet,
    /// It ended, or broke off.
    End,
}

/// How a write went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Yes,
    Refused,
    Stopped,
}

/// Writes as soon as the database is there. What it refuses though it answers is given up after a while: it must not hold up what
/// comes after it.
async fn write<Once>(stop: &CancellationToken, mut once: impl FnMut() -> Once) -> Written
where
    Once: Future<Output = Result<(), StoreError>>,
{
    let mut refused = 0;
    loop {
        let result = tokio::select! {
            biased;
            () = stop.cancelled() => return Written::Stopped,
            result = once() => result,
        };
        match result {
            Ok(()) => return Written::Yes,
            Err(StoreError::Unavailable(error)) => tracing::debug!(error = %error, "a run log waits for the database"),
            Err(error) => {
                tracing::debug!(error = %error, "the database refuses lines of a run log");
                refused += 1;
            }
        }
        if refused == REFUSALS {
            return Written::Refused;
        }
        tokio::select! {
            () = stop.cancelled() => return Written::Stopped,
            () = sleep(AGAIN) => {}
        }
    }
}

fn new_line(redactor: &Redactor, line: &RunLogLine) -> NewRunLog {
    let stream = match line.stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
    };
    NewRunLog {
        at: line.at,
        stream: stream.to_owned(),
        text: within_bytes(redactor.redact(&clean_line(&line.text, MAX_LINE_CHARS))),
    }
}

/// Cuts a line of more than [`MAX_LINE_BYTES`], with a sign.
fn within_bytes(mut text: String) -> String {
    const SIGN: char = '…';
    if text.len() > MAX_LINE_BYTES {
        let room = MAX_LINE_BYTES - SIGN.len_utf8();
        text.truncate(text.floor_char_boundary(room));
        text.push(SIGN);
    }
    text
}

#[cfg(test)]
mod tests {
    use windlass_store::SealError;

    use super::*;
    use crate::logs::store_without_database;

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_for_the_database_however_long_it_is_away() {
        let (store, mut tries) = (&store_without_database().await, 0);
        let written = write(&CancellationToken::new(), || {
            tries += 1;
            let here = tries == 1_000;
            async move { if here { Ok(()) } else { store.ping().await } }
        })
        .await;
        assert_eq!((written, tries), (Written::Yes, 1_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_refused_again_and_again_is_given_up() {
        let refused = async || Err::<(), _>(StoreError::Sealed(SealError::Broken));
        assert_eq!(write(&CancellationToken::new(), refused).await, Written::Refused);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_waits_does_not_hold_up_a_shutdown() {
        let (store, stop) = (store_without_database().await, CancellationToken::new());
        let hangs = write(&stop, pending);
        let fails = write(&stop, async || {
            stop.cancel();
            store.ping().await
        });
        assert_eq!(tokio::join!(hangs, fails), (Written::Stopped, Written::Stopped));
    }

    #[test]
    fn a_line_is_bounded_in_bytes_whatever_its_characters_are() {
        for text in ["𝄞".repeat(4_000), "\u{1b}[38;5;208mx".repeat(2_000)] {
            let line = RunLogLine {
                at: DateTime::UNIX_EPOCH,
                stream: LogStream::Stdout,
                text,
            };
            let stored = new_line(&Redactor::default(), &line).text;
            assert!(
                stored.len() <= MAX_LINE_BYTES && stored.len() > MAX_LINE_BYTES - 8,
                "{}",
                stored.len()
            );
            assert!(stored.ends_with('…'));
        }
        assert_eq!(within_bytes("short".to_owned()), "short");
    }
}
