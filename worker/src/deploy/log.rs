//! The log of a deployment: lines are written together, a few times a second, and the first ones at once.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use windlass_domain::{DeploymentId, Failure, LogSource, log::clean_line};
use windlass_store::Store;

/// How long lines wait for company.
const GATHER: Duration = Duration::from_millis(15);
const MAX_LINE_CHARS: usize = 2_000;

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
        store_lines(&store, deployment, &lines).await;
        for done in flushed {
            let _ = done.send(());
        }
        tokio::time::sleep(GATHER).await;
    }
}

async fn store_lines(store: &Store, deployment: DeploymentId, lines: &[(LogSource, String)]) {
    if lines.is_empty() {
        return;
    }
    for _ in 0..30 {
        match store.append_deployment_log(deployment, lines).await {
            Ok(_) => return,
            Err(error) => tracing::debug!(%deployment, error = %error, "the build log waits for the database"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tracing::warn!(%deployment, lines = lines.len(), "lines of a build log were given up");
}
