//! Tells the edge which instances serve which hosts.

use std::sync::Arc;

use anyhow::Context;
use tokio::sync::Mutex;
use windlass_domain::{AppName, Hostname, ProcessType, Route, RouteTable, Upstream};
use windlass_store::Store;

use crate::{Edge, WorkerConfig};

/// How often a table is made anew because the edge has a newer one.
const OVERTAKEN: u32 = 5;

/// Builds the route table from rows and hands it over whole.
pub(crate) struct RoutePublisher {
    store: Store,
    edge: Arc<dyn Edge>,
    config: WorkerConfig,
    /// What the edge acknowledged last. Held while publishing: tables go out one after the other.
    acknowledged: Mutex<Option<RouteTable>>,
}

impl RoutePublisher {
    pub(crate) fn new(store: Store, edge: Arc<dyn Edge>, config: WorkerConfig) -> Self {
        Self {
            store,
            edge,
            config,
            acknowledged: Mutex::new(None),
        }
    }

    /// Brings the edge to what the rows say now; does nothing when it has that already. Returns when requests are routed by it.
    pub(crate) async fn publish(&self) -> anyhow::Result<()> {
        let mut acknowledged = self.acknowledged.lock().await;
        if let Some(table) = acknowledged.as_ref()
            && table.routes == self.routes().await?
            && self.edge_has(table).await?
        {
            return Ok(());
        }
        let mut tries = 0..OVERTAKEN;
        loop {
            // The number first, then the rows: of two workers' tables, the one with the higher number has seen all that the other has.
            let table = RouteTable {
                generation: self.store.next_route_generation().await?,
                routes: self.routes().await?,
            };
            match self.edge.apply(&table).await {
                Ok(()) => {
                    tracing::debug!(
                        generation = table.generation,
                        routes = table.routes.len(),
                        "route table applied"
                    );
                    *acknowledged = Some(table);
                    return Ok(());
                }
                // Another worker was faster, or the database is older than the edge: it was restored.
                Err(_) if self.has_newer(&table).await? && tries.next().is_some() => {}
                Err(error) => return Err(error).context("the route table was not taken"),
            }
        }
    }

    async fn edge_has(&self, table: &RouteTable) -> anyhow::Result<bool> {
        let has = self.edge.generation().await?;
        Ok(has.is_none_or(|generation| generation == table.generation))
    }

    /// Whether the edge has a newer table than this one; then the numbers go on from there.
    async fn has_newer(&self, table: &RouteTable) -> anyhow::Result<bool> {
        let Some(has) = self.edge.generation().await?.filter(|has| *has > table.generation) else {
            return Ok(false);
        };
        self.store.raise_route_generation(has).await?;
        Ok(true)
    }

    async fn routes(&self) -> anyhow::Result<Vec<Route>> {
        let apps = self.store.routed_apps().await?;
        apps.into_iter()
            .map(|(app, upstreams)| route(&self.config, app, upstreams))
            .collect()
    }
}

/// The route of an app's web process.
pub(crate) fn route(config: &WorkerConfig, app: AppName, upstreams: Vec<Upstream>) -> anyhow::Result<Route> {
    let host: Hostname = config
        .app_host(&app)
        .parse()
        .context("the app's host name is too long")?;
    Ok(Route {
        app,
        process: ProcessType::web(),
        host,
        path: "/".to_owned(),
        middlewares: Vec::new(),
        upstreams,
    })
}
