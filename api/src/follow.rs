//! Live logs: rows that are read again whenever there may be more.
//!
//! Whoever follows subscribes to events before it reads for the first time, or lines written in between would wait for the next
//! event. Events only wake: what there is, the rows say, and a clock wakes too, for events that got lost. A stream ends when there
//! is nothing more to come, or when the server stops; it does not end because the database is away for a while.

use std::time::Duration;

use async_stream::stream;
use futures::Stream;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use windlass_domain::{AppId, DeploymentId, LogLine, ProcessType, TeamId};
use windlass_store::{DeploymentRow, Event, RunLogRow, Store, StoreError};

/// The net under the events.
const POLL: Duration = Duration::from_secs(2);

/// Lines that are read at once.
const BATCH: u32 = 500;

/// Wakes a follower.
struct Wakeups {
    events: broadcast::Receiver<Event>,
    shutdown: CancellationToken,
}

impl Wakeups {
    fn subscribe(store: &Store, shutdown: &CancellationToken) -> Self {
        Self {
            events: store.events(),
            shutdown: shutdown.clone(),
        }
    }

    /// Returns when it is time to look again; false: the server stops.
    async fn next(&mut self, concerns: impl Fn(Event) -> bool) -> bool {
        let deadline = Instant::now() + POLL;
        loop {
            let event = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return false,
                () = sleep_until(deadline) => return true,
                event = self.events.recv() => event,
            };
            match event {
                Ok(event) if event != Event::Resync && !concerns(event) => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return true,
                Err(RecvError::Closed) => sleep_until(deadline).await,
            }
        }
    }
}

/// Whose deployment's log is followed.
#[derive(Clone)]
pub(crate) struct DeploymentScope {
    pub(crate) store: Store,
    pub(crate) team: TeamId,
    pub(crate) app: AppId,
    pub(crate) deployment: DeploymentId,
    pub(crate) shutdown: CancellationToken,
}

/// What happens to a deployment that is followed.
#[derive(Debug)]
pub(crate) enum Followed {
    /// Its log has another line.
    Line(LogLine),
    /// It is over. The last.
    End(Box<DeploymentRow>),
    /// The server stops; the deployment goes on. The last.
    Stopping,
}

/// The lines after `after`, and those to come, until the deployment is over. Ends without an end if the deployment is deleted.
pub(crate) fn deployment(
    scope: DeploymentScope,
    after: i64,
) -> impl Stream<Item = Result<Followed, StoreError>> + Send + 'static {
    let mut wakeups = Wakeups::subscribe(&scope.store, &scope.shutdown);
    stream! {
        let mut after = after;
        loop {
            match look_at_deployment(&scope, after).await {
                Ok(None) => return,
                Ok(Some((row, lines))) => {
                    let all = lines.len() < BATCH as usize;
                    for line in lines {
                        after = line.seq;
                        yield Ok(Followed::Line(line));
                    }
                    if !all {
                        continue;
                    }
                    if row.status.is_terminal() {
                        yield Ok(Followed::End(Box::new(row)));
                        return;
                    }
                }
                Err(StoreError::Unavailable(_)) => {}
                Err(error) => {
                    yield Err(error);
                    return;
                }
            }
            if !wakeups.next(|event| concerns_deployment(event, scope.deployment)).await {
                yield Ok(Followed::Stopping);
                return;
            }
        }
    }
}

/// The row first and its lines after it: what was written before the end is then among them.
async fn look_at_deployment(
    scope: &DeploymentScope,
    after: i64,
) -> Result<Option<(DeploymentRow, Vec<LogLine>)>, StoreError> {
    let Some(row) = scope.store.deployment(scope.team, scope.app, scope.deployment).await? else {
        return Ok(None);
    };
    let lines = scope
        .store
        .deployment_log(scope.team, scope.deployment, after, BATCH)
        .await?;
    Ok(Some((row, lines)))
}

fn concerns_deployment(event: Event, wanted: DeploymentId) -> bool {
    match event {
        Event::Deployment { deployment, .. } | Event::DeploymentLog(deployment) => deployment == wanted,
        Event::App(_) | Event::RunLog(_) | Event::Resync => false,
    }
}

/// Whose run log is followed.
#[derive(Clone)]
pub(crate) struct AppScope {
    pub(crate) store: Store,
    pub(crate) team: TeamId,
    pub(crate) app: AppId,
    pub(crate) process: Option<ProcessType>,
    pub(crate) shutdown: CancellationToken,
}

impl AppScope {
    /// The last lines, oldest first.
    pub(crate) async fn tail(&self, lines: u32) -> Result<Vec<RunLogRow>, StoreError> {
        self.store
            .run_log_tail(self.team, self.app, self.process.as_ref(), lines)
            .await
    }

    async fn after(&self, after: i64) -> Result<Option<Vec<RunLogRow>>, StoreError> {
        if self.store.app_by_id(self.team, self.app).await?.is_none() {
            return Ok(None);
        }
        let process = self.process.as_ref();
        self.store
            .run_log_after(self.team, self.app, process, after, BATCH)
            .await
            .map(Some)
    }
}

/// Where to begin in a run log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// So many lines before its end; at least one.
    Tail(u32),
    /// After the line with this id.
    After(i64),
}

/// The lines from `start`, and those to come, until the app is gone or the server stops.
pub(crate) fn app(scope: AppScope, start: Start) -> impl Stream<Item = Result<RunLogRow, StoreError>> + Send + 'static {
    let mut wakeups = Wakeups::subscribe(&scope.store, &scope.shutdown);
    stream! {
        let mut after = match start {
            Start::After(id) => Some(id),
            Start::Tail(_) => None,
        };
        loop {
            let looked = match (after, start) {
                (None, Start::Tail(lines)) => scope.tail(lines).await.map(Some),
                (after, _) => scope.after(after.unwrap_or(0)).await,
            };
            match looked {
                Ok(None) => return,
                Ok(Some(lines)) => {
                    let more = after.is_some() && lines.len() == BATCH as usize;
                    after = Some(lines.last().map_or(after.unwrap_or(0), |line| line.id));
                    for line in lines {
                        yield Ok(line);
                    }
                    if more {
                        continue;
                    }
                }
                Err(StoreError::Unavailable(_)) => {}
                Err(error) => {
                    yield Err(error);
                    return;
                }
            }
            if !wakeups.next(|event| event == Event::RunLog(scope.app) || event == Event::App(scope.app)).await {
                return;
            }
        }
    }
}
