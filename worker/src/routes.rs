//! Tells the edge which instances serve which hosts.

use std::sync::Arc;

use anyhow::Context;
use tokio::sync::Mutex;
use windlass_domain::{AppName, Hostname, ProcessType, Route, RouteTable, Upstream};
use windlass_store::Store;

use crate::{Edge, WorkerConfig};

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
        let routes = self.routes().await?;
        if acknowledged.as_ref().is_some_and(|table| table.routes == routes) {
            return Ok(());
        }
        let table = RouteTable {
            generation: self.store.next_route_generation().await?,
            routes,
        };
        self.edge.apply(&table).await.context("the route table was not taken")?;
        tracing::debug!(
            generation = table.generation,
            routes = table.routes.len(),
            "route table applied"
        );
        *acknowledged = Some(table);
        Ok(())
    }

    /// As [`Self::publish`], but first asks the edge what it has: it may have been started anew, without its last table.
    pub(crate) async fn verify(&self) -> anyhow::Result<()> {
        let has = self.edge.generation().await?;
        {
            let mut acknowledged = self.acknowledged.lock().await;
            if has.is_some() && acknowledged.as_ref().map(|table| table.generation) != has {
                *acknowledged = None;
            }
        }
        self.publish().await
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
