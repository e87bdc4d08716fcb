//! What all threads of the router share: the live table, its endpoints, and the counters.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use windlass_domain::{InstanceId, RouteTable};

use crate::{
    Limits, TableError,
    accept::ConnectionCaps,
    endpoint::Endpoint,
    table::{CompiledTable, Endpoints},
    table_file,
};

/// Requests that one worker answered; alone on its cache line, as every request writes it.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct RequestCount(pub(crate) std::sync::atomic::AtomicU64);

/// Shared by the workers and the control socket.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) table: ArcSwap<CompiledTable>,
    pub(crate) caps: ConnectionCaps,
    pub(crate) requests: Box<[RequestCount]>,
    /// Stops accepting and ends idle connections.
    pub(crate) closing: CancellationToken,
    /// Ends everything: the drain took too long.
    pub(crate) abort: CancellationToken,
    table_file: PathBuf,
    endpoints: Mutex<Endpoints>,
    applying: tokio::sync::Mutex<()>,
}

/// Why a table was not applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error("the table of generation {given} is older than the live one of generation {live}")]
    Stale { given: u64, live: u64 },
    #[error(transparent)]
    Invalid(#[from] TableError),
}

impl Shared {
    /// Starts from the table on disk.
    pub(crate) fn start(limits: Limits, table_file: PathBuf, workers: usize) -> Self {
        let shared = Self {
            caps: ConnectionCaps::new(limits.max_connections, limits.max_connections_per_ip),
            limits,
            table: ArcSwap::default(),
            requests: (0..workers).map(|_| RequestCount::default()).collect(),
            closing: CancellationToken::new(),
            abort: CancellationToken::new(),
            table_file,
            endpoints: Mutex::default(),
            applying: tokio::sync::Mutex::default(),
        };
        let table = table_file::read(&shared.table_file);
        match shared.swap(&table) {
            Ok(()) => {
                tracing::info!(
                    generation = table.generation,
                    routes = table.routes.len(),
                    "serving the last route table"
                );
            }
            Err(error) => tracing::error!(%error, "the route table on disk is not valid; starting without routes"),
        }
        shared
    }

    /// Makes a table live, then writes it to disk. Returns the live generation and whether the disk has it.
    pub(crate) async fn apply(self: &Arc<Self>, table: RouteTable) -> Result<(u64, bool), ApplyError> {
        let _one_at_a_time = self.applying.lock().await;
        let live = self.table.load().generation;
        if table.generation < live {
            return Err(ApplyError::Stale {
                given: table.generation,
                live,
            });
        }
        if table.generation == live && live != 0 {
            return Ok((live, true));
        }
        self.swap(&table)?;
        let generation = table.generation;
        tracing::info!(generation, routes = table.routes.len(), "route table applied");
        Ok((generation, self.persist(table).await))
    }

    async fn persist(self: &Arc<Self>, table: RouteTable) -> bool {
        let shared = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || table_file::write(&shared.table_file, &table)).await;
        match written {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(path = %self.table_file.display(), %error, "the route table is live but could not be written to disk");
                false
            }
            Err(_) => false,
        }
    }

    fn swap(&self, table: &RouteTable) -> Result<(), TableError> {
        let mut endpoints = self.endpoints();
        let mut fresh = Endpoints::new();
        let compiled = CompiledTable::compile(table, |instance, address| {
            let known = fresh
                .get(&(instance, address))
                .or_else(|| endpoints.get(&(instance, address)));
            let endpoint = known
                .cloned()
                .unwrap_or_else(|| Arc::new(Endpoint::new(instance, address, self.requests.len())));
            fresh.insert((instance, address), Arc::clone(&endpoint));
            endpoint
        })?;
        fresh.values().for_each(|endpoint| endpoint.revive());
        self.table.store(Arc::new(compiled));
        let gone = endpoints.iter().filter(|(key, _)| !fresh.contains_key(*key));
        gone.for_each(|(_, endpoint)| endpoint.retire());
        endpoints.extend(fresh);
        forget_unused(&mut endpoints);
        Ok(())
    }

    fn endpoints(&self) -> MutexGuard<'_, Endpoints> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The endpoints that are in the table or still serve a request.
    pub(crate) fn live_endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.endpoints().values().cloned().collect()
    }

    /// Requests and tunnels in flight per instance; instances without any are left out.
    pub(crate) fn in_flight(&self) -> BTreeMap<InstanceId, u64> {
        let mut endpoints = self.endpoints();
        forget_unused(&mut endpoints);
        let mut counts = BTreeMap::new();
        for endpoint in endpoints.values().filter(|endpoint| endpoint.in_flight() > 0) {
            *counts.entry(endpoint.instance).or_default() += endpoint.in_flight() as u64;
        }
        counts
    }

    /// The addresses that get no requests for a while because they refused connections.
    pub(crate) fn ejected(&self) -> Vec<(InstanceId, SocketAddr)> {
        let endpoints = self.endpoints();
        let ejected = endpoints.values().filter(|endpoint| endpoint.is_ejected());
        ejected.map(|endpoint| (endpoint.instance, endpoint.address)).collect()
    }

    pub(crate) fn requests_total(&self) -> u64 {
        self.requests.iter().map(|count| count.0.load(Relaxed)).sum()
    }
}

/// Forgets what no table names and no request holds. A request that has looked up its route in an old table holds its
/// endpoints before it is counted, so the reference count decides and not the number in flight.
fn forget_unused(endpoints: &mut Endpoints) {
    endpoints.retain(|_, endpoint| !endpoint.is_retired() || Arc::strong_count(endpoint) > 1);
}
