//! The connection to Postgres: few connections, made when they are needed, replaced when they break.

use std::{collections::HashMap, fmt, str::FromStr, sync::Arc, time::Duration};

use sqlx::{
    Postgres, Transaction,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
};
use tokio::sync::{Mutex, broadcast};
use windlass_domain::{AppId, Secret};

use crate::{ConnectError, Event, MigrateError, StoreError, events::EVENT_BUFFER, seal::Sealer, work::RunLogSize};

static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// How long a caller waits for a connection before the answer is "unavailable".
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// When an unused connection is given back: an idle engine holds the one that listens, and no other.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Session settings of every connection: nothing may hang, and nothing may hold a lock while it does. A worker that stands still in
/// the middle of a transaction must not keep others from its deployment for as long as a takeover may take.
const SESSION: [(&str, &str); 3] = [
    ("statement_timeout", "10s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "5s"),
];

/// Where the database is and how it is used.
#[derive(Clone)]
pub struct StoreOptions {
    /// `postgres://…`.
    pub url: String,
    /// The most connections at once; 8 is enough for one machine.
    pub max_connections: u32,
    /// The 32 bytes that seal secrets.
    pub master_key: Secret<Vec<u8>>,
}

impl fmt::Debug for StoreOptions {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

/// All rows of Windlass. A clone is cheap and shares the connections.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) pool: PgPool,
    /// How to connect, without the limits of [`SESSION`].
    pub(crate) server: PgConnectOptions,
    pub(crate) sealer: Sealer,
    pub(crate) events: broadcast::Sender<Event>,
    /// How much each app's run log may still get before it is trimmed.
    pub(crate) run_log_room: Mutex<HashMap<AppId, RunLogSize>>,
}

impl Store {
    /// Takes the options. Connections are made when they are needed, and made again when Postgres comes back, so that an
    /// unreachable server is no error here: ask [`Store::ping`].
    pub async fn connect(options: StoreOptions) -> Result<Self, ConnectError> {
        let server = PgConnectOptions::from_str(&options.url)
            .map_err(ConnectError::Url)?
            .application_name("windlassd");
        let sealer = Sealer::new(&options.master_key)?;
        let pool = PgPoolOptions::new()
            .min_connections(0)
            .max_connections(options.max_connections.max(1))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(IDLE_TIMEOUT)
            // One round trip more, but a restarted Postgres costs no caller an error.
            .test_before_acquire(true)
            .connect_lazy_with(server.clone().options(SESSION));
        let inner = Inner {
            pool,
            server,
            sealer,
            events: broadcast::Sender::new(EVENT_BUFFER),
            run_log_room: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Brings the schema up to date, one process at a time (advisory lock), however long that takes.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        // Not from the pool: its connections give up after some seconds.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(self.inner.server.clone());
        let done = MIGRATOR.run(&pool).await;
        pool.close().await;
        done.map_err(MigrateError)
    }

    /// Whether Postgres answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query!("select 1 as one").fetch_one(&self.inner.pool).await?;
        Ok(())
    }

    /// The server's major version, such as 15.
    pub async fn server_version(&self) -> Result<u32, StoreError> {
        let number = sqlx::query_scalar!(r#"select current_setting('server_version_num')::int as "number!""#)
            .fetch_one(&self.inner.pool)
            .await?;
        Ok(u32::try_from(number / 10_000).unwrap_or(0))
    }

    /// Gives all connections back. Everything that is asked afterwards is [`StoreError::Unavailable`].
    pub async fn close(&self) {
        self.inner.pool.close().await;
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.inner.pool
    }

    /// A transaction for what may rightly take long; not for what a caller waits for.
    pub(crate) async fn begin_unhurried(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query!("set local statement_timeout = 0")
            .execute(&mut *tx)
            .await?;
        Ok(tx)
    }

    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        Ok(self.inner.pool.begin().await?)
    }
}
