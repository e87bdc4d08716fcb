//! Tells the edge which instances serve which hosts.

use std::{collections::HashSet, sync::Arc};

use anyhow::{Context, ensure};
use tokio::sync::Mutex;
use windlass_domain::{AppName, Hostname, InstanceId, ProcessType, Route, RouteTable, Upstream};
use windlass_store::Store;

use crate::{Edge, Exception, WorkerConfig};

/// How often a table is made anew because the edge has a newer one.
const OVERTAKEN: u32 = 5;

/// The highest number of a table that an edge is believed to have: half of what the sequence can count. Beyond the end of that no
/// table could be made at all any more.
const MAX_GENERATION: u64 = 1 << 62;

/// Builds the route table from rows and hands it over whole.
pub(crate) struct RoutePublisher {
    store: Store,
    edge: Arc<dyn Edge>,
    config: WorkerConfig,
    /// What the edge acknowledged last, without an exception. Held while publishing: tables go out one after the other.
    acknowledged: Mutex<Option<RouteTable>>,
    /// Instances that the edge could not be brought to take out yet.
    held: Mutex<HashSet<InstanceId>>,
}

/// Since when an instance gets no more requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakenOut {
    /// It was not to be had before.
    JustNow,
    /// Nothing stood against it.
    AsAsked,
}

impl RoutePublisher {
    pub(crate) fn new(store: Store, edge: Arc<dyn Edge>, config: WorkerConfig) -> Self {
        Self {
            store,
            edge,
            config,
            acknowledged: Mutex::new(None),
            held: Mutex::default(),
        }
    }

    /// [`publish`](Self::publish), for the sake of one app: fails when requests of that one are not routed as its rows say.
    pub(crate) async fn publish_for(&self, app: &AppName) -> anyhow::Result<()> {
        none_of(app, self.publish().await?)
    }

    /// [`publish_for`](Self::publish_for), when the app's routes have just changed: it need not be found out whether.
    pub(crate) async fn publish_changed(&self, app: &AppName) -> anyhow::Result<()> {
        let mut acknowledged = self.acknowledged.lock().await;
        none_of(app, self.hand_over(&mut acknowledged).await?)
    }

    /// [`publish`](Self::publish), for the sake of one instance that is to get no more requests: fails when it may get some.
    pub(crate) async fn take_out(&self, instance: InstanceId) -> anyhow::Result<TakenOut> {
        let taken = self.publish().await.and_then(|exceptions| {
            let still = exceptions.into_iter().find(|exception| exception.instance == instance);
            still.map_or(Ok(()), |exception| Err(exception.into()))
        });
        let mut held = self.held.lock().await;
        if let Err(error) = taken {
            held.insert(instance);
            return Err(error);
        }
        Ok(if held.remove(&instance) {
            TakenOut::JustNow
        } else {
            TakenOut::AsAsked
        })
    }

    /// Brings the edge to what the rows say now; does nothing when it has that already. Returns when requests are routed by it, with
    /// the instances of which that is not so.
    pub(crate) async fn publish(&self) -> anyhow::Result<Vec<Exception>> {
        let mut acknowledged = self.acknowledged.lock().await;
        if let Some(table) = acknowledged.as_ref()
            && table.routes == self.routes().await?
            && self.edge_has(table).await?
        {
            return Ok(Vec::new());
        }
        self.hand_over(&mut acknowledged).await
    }

    async fn hand_over(&self, acknowledged: &mut Option<RouteTable>) -> anyhow::Result<Vec<Exception>> {
        let mut tries = 0..OVERTAKEN;
        loop {
            // The number first, then the rows: of two workers' tables, the one with the higher number has seen all that the other has.
            let table = RouteTable {
                generation: self.store.next_route_generation().await?,
                routes: self.routes().await?,
            };
            match self.edge.apply(&table).await {
                Ok(exceptions) => {
                    tracing::debug!(
                        generation = table.generation,
                        routes = table.routes.len(),
                        exceptions = exceptions.len(),
                        "route table applied"
                    );
                    *acknowledged = exceptions.is_empty().then_some(table);
                    return Ok(exceptions);
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
        let Some(newer) = newer(self.edge.generation().await?, table.generation)? else {
            return Ok(false);
        };
        self.store.raise_route_generation(newer).await?;
        Ok(true)
    }

    async fn routes(&self) -> anyhow::Result<Vec<Route>> {
        let apps = self.store.routed_apps().await?;
        apps.into_iter()
            .map(|(app, upstreams)| route(&self.config, app, upstreams))
            .collect()
    }
}

/// What the edge has, if that is newer than this.
fn newer(has: Option<u64>, than: u64) -> anyhow::Result<Option<u64>> {
    let Some(has) = has.filter(|has| *has > than) else {
        return Ok(None);
    };
    ensure!(
        has <= MAX_GENERATION,
        "the router says that it has table {has}, and no engine ever made so many; end it (`windlassd stop --all`), remove \
         `router/table.json` from the data directory, and start the engine"
    );
    Ok(Some(has))
}

fn none_of(app: &AppName, exceptions: Vec<Exception>) -> anyhow::Result<()> {
    match exceptions.into_iter().find(|exception| exception.app == *app) {
        Some(exception) => Err(exception.into()),
        None => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_behind_a_newer_table_but_never_so_far_that_none_is_left() {
        assert_eq!(newer(None, 7).unwrap(), None);
        assert_eq!(newer(Some(7), 7).unwrap(), None);
        assert_eq!(newer(Some(8), 7).unwrap(), Some(8));
        assert_eq!(newer(Some(MAX_GENERATION), 7).unwrap(), Some(MAX_GENERATION));
        for mad in [MAX_GENERATION + 1, i64::MAX.unsigned_abs(), u64::MAX] {
            let refused = newer(Some(mad), 7).unwrap_err().to_string();
            assert!(refused.contains("windlassd stop --all"), "{refused}");
        }
    }
}
