//! The log of a deployment: lines are written together, a few times a second, and the first ones at once.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use windlass_domain::{DeploymentId, Failure, LogSource, log::clean_line};
use windlass_store::{Store, StoreError};

/// How long lines wait for company.
const GATHER: Duration = Duration::from_millis(15);
const MAX_LINE_CHARS: usize = 2_000;
/// Times that lines are tried to be stored, a second apart.
const TRIES: u32 = 30;

type Line = (LogSource, String);

enum Message {
    Line(LogSource, String),
    Flush(oneshot::Sender<()>),
}

/// Writes to the log of one deployment. Cloning gives another pen for the same log.
#[derive(Clone)]
pub(crate) struct DeployLog {
    lines: mpsc::UnboundedSender<Message>,
}

impl DeployLog {
    /// Starts the writer of a deployment's log.
    pub(crate) fn start(store: Store, deployment: DeploymentId) -> Self {
        let (lines, receiver) = mpsc::unbounded_channel();
        tokio::spawn(write(store, deployment, receiver));
        Self { lines }
    }

    /// A line of a build or of an app: hostile, so it is cleaned.
    pub(crate) fn line(&self, source: LogSource, text: &str) {
        self.send(source, clean_line(text, MAX_LINE_CHARS));
    }

    /// `-----> Building …`
    pub(crate) fn heading(&self, text: String) {
        self.send(LogSource::Windlass, format!("-----> {text}"));
    }

    /// An indented line of ours.
    pub(crate) fn detail(&self, text: &str) {
        self.send(LogSource::Windlass, format!("       {text}"));
    }

    /// `=====> … is live`
    pub(crate) fn result(&self, text: String) {
        self.send(LogSource::Windlass, format!("=====> {text}"));
    }

    /// ` !     …`
    pub(crate) fn error(&self, text: &str) {
        self.send(LogSource::Windlass, format!(" !     {text}"));
    }

    /// A failure with its evidence and its next step.
    pub(crate) fn failure(&self, failure: &Failure) {
        for line in failure.lines() {
            self.send(LogSource::Windlass, clean_line(&line, MAX_LINE_CHARS));
        }
    }

    /// Returns when all lines so far are stored.
    pub(crate) async fn flush(&self) {
        let (done, stored) = oneshot::channel();
        if self.lines.send(Message::Flush(done)).is_ok() {
            let _ = stored.await;
        }
    }

    /// Flushes for the last time.
    pub(crate) async fn close(self) {
        self.flush().await;
    }

    fn send(&self, source: LogSource, text: String) {
        // The writer ends only after the last pen is gone.
        let _ = self.lines.send(Message::Line(source, text));
    }
}

async fn write(store: Store, deployment: DeploymentId, mut messages: mpsc::UnboundedReceiver<Message>) {
    let mut writer = Writer {
        store,
        deployment,
        last: None,
        lost: 0,
    };
    let mut waiting: Vec<Message> = Vec::new();
    while messages.recv_many(&mut waiting, 2_000).await > 0 {
        let mut lines = Vec::with_capacity(waiting.len());
        let mut flushed = Vec::new();
        for message in waiting.drain(..) {
            match message {
                Message::Line(source, text) => lines.push((source, text)),
                Message::Flush(done) => flushed.push(done),
            }
        }
        writer.write(lines).await;
        for done in flushed {
            let _ = done.send(());
        }
        tokio::time::sleep(GATHER).await;
    }
}

struct Writer {
    store: Store,
    deployment: DeploymentId,
    /// The number of the log's last line when this writer last saw it. What a write whose answer was lost has written stands after it.
    last: Option<i64>,
    /// Lines that were given up and are yet to be told of.
    lost: usize,
}

impl Writer {
    /// Stores the lines; keeps trying for a while when the database is away.
    async fn write(&mut self, lines: Vec<Line>) {
        if lines.is_empty() {
            return;
        }
        let count = lines.len();
        let lines = after_a_gap(self.lost, lines);
        for _ in 0..TRIES {
            match self.append(&lines).await {
                Ok(()) => {
                    self.lost = 0;
                    return;
                }
                Err(error) => {
                    tracing::debug!(deployment = %self.deployment, error = %error, "the build log waits for the database");
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.lost += count;
        tracing::warn!(deployment = %self.deployment, lines = count, "lines of a build log were given up");
    }

    async fn append(&mut self, lines: &[Line]) -> Result<(), StoreError> {
        let (store, deployment) = (&self.store, self.deployment);
        let last = match self.last {
            Some(last) => last,
            None => store.append_deployment_log(deployment, &[]).await?,
        };
        self.last = Some(last);
        self.last = Some(store.append_deployment_log_once(deployment, last, lines).await?);
        Ok(())
    }
}

/// The lines, after one that says how many before them were lost.
fn after_a_gap(lost: usize, mut lines: Vec<Line>) -> Vec<Line> {
    if lost > 0 {
        let gap = format!(" !     {lost} lines of this log were lost: the database was away");
        lines.insert(0, (LogSource::Windlass, gap));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::store_without_database;

    fn line(text: &str) -> Line {
        (LogSource::Build, text.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn lines_that_were_given_up_are_told_of_in_the_log() {
        let mut writer = Writer {
            store: store_without_database().await,
            deployment: DeploymentId::generate(),
            last: None,
            lost: 0,
        };
        writer.write(vec![line("one"), line("two")]).await;
        writer.write(vec![line("three")]).await;

        let lines = after_a_gap(writer.lost, vec![line("four")]);

        assert!(lines[0].1.contains("3 lines of this log were lost"), "{lines:?}");
        assert_eq!(lines[1..], [line("four")]);
    }

    #[test]
    fn a_log_without_a_gap_is_as_it_was_written() {
        assert_eq!(after_a_gap(0, vec![line("one")]), [line("one")]);
    }
}
