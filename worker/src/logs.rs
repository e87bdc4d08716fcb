//! Collects what instances write into the bounded store, so that the log of a crashed or replaced instance can still be read.
//!
//! Each line is stored together with how far its container's log has been read, in one transaction: a restart of the engine loses
//! and doubles nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::DateTime;
use futures::StreamExt;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use windlass_domain::{AppId, InstanceId, ProcessType, Redactor, ReleaseId, log::clean_line};
use windlass_runtime::{ContainerId, LogStream, LogsFrom, RunLogLine, Runtime};
use windlass_store::{InstanceRow, NewRunLog, RunLogBatch, Store};

/// Lines of an app that are kept.
const KEEP_LINES: u32 = 10_000;
/// A longer line is cut.
const MAX_LINE_CHARS: usize = 4_000;
/// Lines are written together when so many have come …
const BATCH: usize = 400;
/// … or so much time has passed.
const FLUSH: Duration = Duration::from_millis(100);

/// Where the lines of one container belong.
#[derive(Clone)]
struct Origin {
    app: AppId,
    instance: InstanceId,
    release: ReleaseId,
    process: ProcessType,
    name: String,
    container: ContainerId,
    cursor_ns: i64,
}

/// Follows the logs of all running instances.
pub(crate) struct LogCollector {
    store: Store,
    runtime: Arc<dyn Runtime>,
    following: Arc<Mutex<HashMap<InstanceId, JoinHandle<()>>>>,
    stop: CancellationToken,
}

impl LogCollector {
    pub(crate) fn new(store: Store, runtime: Arc<dyn Runtime>) -> Self {
        Self {
            store,
            runtime,
            following: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    /// Takes up the logs of everything that runs, after a start.
    pub(crate) async fn follow_all(&self) {
        match self.store.live_instances().await {
            Ok(rows) => rows.iter().for_each(|(row, _)| self.follow(row)),
            Err(error) => tracing::warn!(error = %error, "cannot take up the logs of running instances"),
        }
    }

    /// Follows an instance's log from where it was left; does nothing when it is followed already.
    pub(crate) fn follow(&self, row: &InstanceRow) {
        let Some(container) = &row.container else { return };
        let origin = Origin {
            app: row.app,
            instance: row.id,
            release: row.release,
            process: row.process.clone(),
            name: format!("{}.{}", row.process, row.n),
            container: ContainerId::new(container.clone()),
            cursor_ns: row.log_cursor_ns,
        };
        let mut following = self.following.lock().expect("no holder of this lock panics");
        following.retain(|_, task| !task.is_finished());
        following.entry(row.id).or_insert_with(|| {
            tokio::spawn(follow(
                self.store.clone(),
                self.runtime.clone(),
                origin,
                self.stop.clone(),
            ))
        });
    }

    /// Waits until an ended container's log has been read to its end, so that the container may be removed.
    pub(crate) async fn finish(&self, row: &InstanceRow) {
        // One that nobody followed (its stream broke, or the engine was killed) is read now.
        self.follow(row);
        let task = self
            .following
            .lock()
            .expect("no holder of this lock panics")
            .remove(&row.id);
        if let Some(task) = task
            && tokio::time::timeout(Duration::from_secs(3), task).await.is_err()
        {
            tracing::warn!(instance = %row.id, "the log of an ended instance could not be read to its end");
        }
    }

    /// Writes what has been read and ends; the next engine goes on from there.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        let tasks: Vec<_> = {
            let mut following = self.following.lock().expect("no holder of this lock panics");
            following.drain().map(|(_, task)| task).collect()
        };
        for task in tasks {
            let _ = task.await;
        }
    }
}

async fn follow(store: Store, runtime: Arc<dyn Runtime>, mut origin: Origin, stop: CancellationToken) {
    let Some(redactor) = redactor(&store, origin.release, &stop).await else {
        return;
    };
    let since = (origin.cursor_ns > 0).then(|| DateTime::from_timestamp_nanos(origin.cursor_ns));
    let mut lines = runtime.logs(
        &origin.container,
        LogsFrom {
            since,
            follow: true,
            tail: None,
        },
    );
    let mut batch: Vec<RunLogLine> = Vec::new();
    let mut flush_at: Option<Instant> = None;
    let mut rate = Rate::default();
    loop {
        let due = async {
            match flush_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            () = stop.cancelled() => true,
            () = due => false,
            line = lines.next() => match line {
                Some(Ok(line)) => {
                    if !rate.admits(&line, &mut batch) { continue; }
                    batch.push(line);
                    flush_at.get_or_insert_with(|| Instant::now() + FLUSH);
                    if batch.len() < BATCH { continue; }
                    false
                }
                Some(Err(error)) => {
                    tracing::debug!(instance = %origin.instance, error = %error, "the log of an instance broke off");
                    true
                }
                None => true,
            },
        };
        flush(&store, &redactor, &mut origin, &mut batch).await;
        flush_at = None;
        if ended {
            return;
        }
    }
}

/// How many lines one instance may bring in a second. The rest is dropped and counted: a flood must not keep the database busy.
#[derive(Default)]
struct Rate {
    second: i64,
    lines: u32,
    dropped: u32,
}

/// Lines of one instance that are stored in a second.
const LINES_PER_SECOND: u32 = 2_000;

impl Rate {
    fn admits(&mut self, line: &RunLogLine, batch: &mut Vec<RunLogLine>) -> bool {
        let second = line.at.timestamp();
        if second != self.second {
            if self.dropped > 0 {
                let text = format!(
                    "[windlass] {} lines were dropped: more than {LINES_PER_SECOND} in a second",
                    self.dropped
                );
                batch.push(RunLogLine { text, ..line.clone() });
            }
            *self = Self {
                second,
                lines: 0,
                dropped: 0,
            };
        }
        self.lines += 1;
        let admitted = self.lines <= LINES_PER_SECOND;
        self.dropped += u32::from(!admitted);
        admitted
    }
}

/// What must not show in an instance's log; waits for the database, without which nothing can be stored anyway.
async fn redactor(store: &Store, release: ReleaseId, stop: &CancellationToken) -> Option<Redactor> {
    loop {
        match store.config_of_release(release).await {
            Ok(config) => {
                return Some(config.map_or_else(Redactor::default, |config| Redactor::new(config.vars.values())));
            }
            Err(error) => tracing::debug!(error = %error, "a run log waits for the database"),
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// Stores the batch; keeps trying for a while when the database is away.
async fn flush(store: &Store, redactor: &Redactor, origin: &mut Origin, batch: &mut Vec<RunLogLine>) {
    // The two streams are stamped apart, so the last line need not be the newest.
    let newest = batch.iter().filter_map(|line| line.at.timestamp_nanos_opt()).max();
    let Some(cursor) = newest.map(|newest| newest.max(origin.cursor_ns + 1)) else {
        return;
    };
    let rows = RunLogBatch {
        app: origin.app,
        instance: origin.instance,
        instance_name: origin.name.clone(),
        process: origin.process.clone(),
        lines: batch.drain(..).map(|line| new_line(redactor, &line)).collect(),
        from_ns: origin.cursor_ns,
        cursor_ns: cursor,
        max_lines: KEEP_LINES,
    };
    for _ in 0..60 {
        match store.append_run_log(&rows).await {
            Ok(()) => {
                origin.cursor_ns = cursor;
                return;
            }
            Err(error) => tracing::debug!(error = %error, "run log waits for the database"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tracing::warn!(instance = %origin.instance, lines = rows.lines.len(), "lines of a run log were given up");
}

fn new_line(redactor: &Redactor, line: &RunLogLine) -> NewRunLog {
    let stream = match line.stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
    };
    NewRunLog {
        at: line.at,
        stream: stream.to_owned(),
        text: redactor.redact(&clean_line(&line.text, MAX_LINE_CHARS)),
    }
}
