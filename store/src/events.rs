//! What happened, told to everybody who waits: one `LISTEN` connection, fanned out to many receivers.
//!
//! A notification is sent inside the transaction that writes, so that it arrives when the rows can be seen, and only then. It
//! may get lost with the connection: whoever waits also looks by the clock, and at everything upon [`Event::Resync`].

use std::{pin::pin, time::Duration};

use sqlx::{
    PgConnection,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::{sync::broadcast, time::timeout};
use uuid::Uuid;
use windlass_domain::{AppId, DeploymentId};

use crate::Store;

/// How many events a slow receiver may lag behind; beyond it [`broadcast::error::RecvError::Lagged`] tells it to resync.
pub(crate) const EVENT_BUFFER: usize = 1024;
const CHANNEL: &str = "windlass";
/// After this long without a notification the connection is tried: a dead peer would otherwise look like silence.
const SILENCE: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// Something happened; whoever cares looks at the rows. A receiver that lagged treats that as [`Event::Resync`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A deployment was made or changed.
    Deployment {
        /// Its app.
        app: AppId,
        /// The deployment.
        deployment: DeploymentId,
    },
    /// A deployment's log has new lines.
    DeploymentLog(DeploymentId),
    /// What is wanted or what is of an app changed: look whether its instances are as they should be.
    App(AppId),
    /// An app's run log has new lines.
    RunLog(AppId),
    /// Events may have been lost: look at everything.
    Resync,
}

impl Event {
    /// Ids are bare UUIDs, as Postgres writes them: a statement that is on the way from healthy to routed tells of what it did by
    /// itself, which saves the way there and back.
    fn payload(self) -> String {
        match self {
            Self::Deployment { app, deployment } => format!("deployment {} {}", app.uuid(), deployment.uuid()),
            Self::DeploymentLog(deployment) => format!("log {}", deployment.uuid()),
            Self::App(app) => format!("app {}", app.uuid()),
            Self::RunLog(app) => format!("runlog {}", app.uuid()),
            Self::Resync => "resync".to_owned(),
        }
    }

    /// Reads a payload; what cannot be read (a newer Windlass sent it) is a reason to look at everything.
    fn from_payload(payload: &str) -> Self {
        let words: Vec<&str> = payload.split(' ').collect();
        let app = |id| Uuid::parse_str(id).map(AppId::from_uuid);
        let deployment = |id| Uuid::parse_str(id).map(DeploymentId::from_uuid);
        let read = match words[..] {
            ["deployment", of, id] => {
                app(of).and_then(|app| deployment(id).map(|deployment| Self::Deployment { app, deployment }))
            }
            ["log", id] => deployment(id).map(Self::DeploymentLog),
            ["app", id] => app(id).map(Self::App),
            ["runlog", id] => app(id).map(Self::RunLog),
            _ => Ok(Self::Resync),
        };
        read.unwrap_or(Self::Resync)
    }
}

/// Tells all listeners, if and when the transaction commits.
pub(crate) async fn notify(connection: &mut PgConnection, event: Event) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_notify('windlass', $1)", event.payload())
        .execute(connection)
        .await?;
    Ok(())
}

impl Store {
    /// Events from now on. Take the receiver first and look at the rows then, or something may happen in between.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.events.subscribe()
    }

    /// Receives notifications over a connection of its own and hands them to all receivers, until `shutdown`. Connects again
    /// for as long as it takes, and sends [`Event::Resync`] whenever it has.
    pub async fn listen(&self, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = pin!(shutdown);
        let mut retry = FIRST_RETRY;
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                end = self.listen_until_lost(&mut retry) => {
                    if let Err(error) = end {
                        tracing::warn!(error = &error as &dyn std::error::Error, "notifications are interrupted");
                    }
                }
            }
            tokio::select! {
                () = &mut shutdown => return,
                () = tokio::time::sleep(retry) => retry = (retry * 2).min(LAST_RETRY),
            }
        }
    }

    async fn listen_until_lost(&self, retry: &mut Duration) -> Result<(), sqlx::Error> {
        // A pool of its own: a listener keeps its connection, and would take one from those who ask.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(PING_TIMEOUT)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(self.inner.server.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        *retry = FIRST_RETRY;
        self.publish(Event::Resync);
        loop {
            match timeout(SILENCE, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => self.publish(Event::from_payload(notification.payload())),
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Err(_) => is_alive(&mut listener).await?,
            }
        }
    }

    fn publish(&self, event: Event) {
        // No receiver is no fault: nobody waits at this moment.
        let _ = self.inner.events.send(event);
    }
}

async fn is_alive(listener: &mut PgListener) -> Result<(), sqlx::Error> {
    let answer = timeout(PING_TIMEOUT, sqlx::query("select 1").execute(listener)).await;
    answer.map_err(|_| sqlx::Error::PoolTimedOut)?.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_back_from_its_payload() {
        let (app, deployment) = (AppId::generate(), DeploymentId::generate());
        for event in [
            Event::Deployment { app, deployment },
            Event::DeploymentLog(deployment),
            Event::App(app),
            Event::RunLog(app),
            Event::Resync,
        ] {
            assert_eq!(Event::from_payload(&event.payload()), event);
        }
    }

    #[test]
    fn what_cannot_be_read_means_look_at_everything() {
        for payload in ["", "app", "app dpl_1", "volume vol_1", "deployment x y"] {
            assert_eq!(Event::from_payload(payload), Event::Resync, "{payload:?}");
        }
    }
}
