//! The connection to Postgres.

use std::sync::Arc;

use sqlx::postgres::PgPool;
use tokio::sync::broadcast;
use windlass_domain::Secret;

use crate::Event;

/// Where the database is and how it is used.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `postgres://…`.
    pub url: String,
    /// The most connections at once; 8 is enough for one machine.
    pub max_connections: u32,
    /// The 32 bytes that seal secrets.
    pub master_key: Secret<Vec<u8>>,
}

/// All rows of Windlass. A clone is cheap and shares the connections.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) pool: PgPool,
    pub(crate) events: broadcast::Sender<Event>,
}
