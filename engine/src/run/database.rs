//! The database that everything else waits for.

use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use windlass_store::{Store, StoreOptions};

use crate::{config::Config, master_key, postgres::EmbeddedPostgres};

/// The outside server, or the embedded one.
pub(super) async fn server(config: &Config) -> anyhow::Result<(Option<EmbeddedPostgres>, String)> {
    if let Some(url) = &config.database_url {
        return Ok((None, url.clone()));
    }
    let postgres = EmbeddedPostgres::start(&config.postgres_dir(), &config.postgres_log()).await?;
    let url = postgres.url();
    Ok((Some(postgres), url))
}

/// The store, as soon as the database answers and has this version's schema; nothing when the engine ends before that.
pub(super) async fn open_store(
    config: &Config,
    url: String,
    token: &CancellationToken,
) -> anyhow::Result<Option<Store>> {
    let options = StoreOptions {
        url,
        max_connections: config.database_connections,
        master_key: master_key::load_or_create(&config.master_key_file)?,
    };
    let store = Store::connect(options).await.context("database_url")?;
    tokio::select! {
        () = token.cancelled() => return Ok(None),
        answers = until_database_answers(config, &store) => answers?,
    }
    store
        .migrate()
        .await
        .context("the database cannot be brought to this version's schema")?;
    Ok(Some(store))
}

async fn until_database_answers(config: &Config, store: &Store) -> anyhow::Result<()> {
    // After a crash our own server has to go through its log first, which must not be cut short.
    let (patience, remedy) = match config.database_url {
        None => (
            Duration::from_secs(300),
            format!("see {}", config.postgres_log().display()),
        ),
        Some(_) => (
            Duration::from_secs(60),
            "check database_url and that the server runs".to_owned(),
        ),
    };
    let start = Instant::now();
    let mut told = start;
    while let Err(error) = store.ping().await {
        if start.elapsed() > patience {
            return Err(error).with_context(|| format!("the database does not answer; {remedy}"));
        }
        if told.elapsed() > Duration::from_secs(4) {
            told = Instant::now();
            let error = format!("{:#}", anyhow::Error::from(error));
            tracing::warn!(
                error,
                patience_seconds = patience.as_secs(),
                "waiting for the database; {remedy}"
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
