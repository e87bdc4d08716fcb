//! What all threads of the router share: the live table, its endpoints, and the counters.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use windlass_domain::{InstanceId, RouteTable};

use crate::{
    Limits, TableError,
    accept::ConnectionCaps,
    control::Served,
    endpoint::Endpoint,
    shortage::ShortageLog,
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
    pub(crate) shortages: ShortageLog,
    /// What it serves on, for a successor; empty once it closes.
    listeners: Mutex<Vec<TcpListener>>,
    /// What it says about itself.
    pub(crate) version: String,
    /// Changes when somebody asks that another router takes over.
    pub(crate) replacement_wanted: watch::Sender<()>,
    /// Set just before [`Self::closing`]; a request asks this, as the token has a lock.
    pub(crate) is_closing: AtomicBool,
    /// Stops accepting and lets connections end.
    pub(crate) closing: CancellationToken,
    /// Ends everything: the drain took too long.
    pub(crate) abort: CancellationToken,
    table_file: PathBuf,
    endpoints: Mutex<Endpoints>,
    /// Held while a table is applied; holds the live one as long as it could not be written to disk.
    applying: tokio::sync::Mutex<Option<RouteTable>>,
}

/// What [`Shared`] is made of.
pub(crate) struct SharedParts {
    pub(crate) limits: Limits,
    pub(crate) table_file: PathBuf,
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) version: String,
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
    pub(crate) fn start(parts: SharedParts, workers: usize) -> Self {
        let shared = Self {
            caps: ConnectionCaps::new(parts.limits.max_connections, parts.limits.max_connections_per_ip),
            limits: parts.limits,
            table: ArcSwap::default(),
            requests: (0..workers).map(|_| RequestCount::default()).collect(),
            listeners: Mutex::new(parts.listeners),
            shortages: ShortageLog::default(),
            version: parts.version,
            replacement_wanted: watch::Sender::new(()),
            is_closing: AtomicBool::new(false),
            closing: CancellationToken::new(),
            abort: CancellationToken::new(),
            table_file: parts.table_file,
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

    /// Stops accepting, lets go of the listening sockets, and lets connections end.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Relaxed);
        self.listeners().clear();
        self.closing.cancel();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Relaxed)
    }

    /// The sockets that it listens on; none once it closes.
    pub(crate) fn listeners(&self) -> MutexGuard<'_, Vec<TcpListener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a table live, then writes it to disk. Returns the live generation and whether the disk has it.
    pub(crate) async fn apply(self: &Arc<Self>, table: RouteTable) -> Result<(u64, bool), ApplyError> {
        let mut unsaved = self.applying.lock().await;
        let live = self.table.load().generation;
        if table.generation < live {
            return Err(ApplyError::Stale {
                given: table.generation,
                live,
            });
        }
        // The same number with other routes comes from a database that was restored: no two tables of one database share a number.
        if table.generation == live && live != 0 && self.last_applied(&unsaved) == table {
            return Ok((live, unsaved.is_none()));
        }
        self.swap(&table)?;
        let generation = table.generation;
        tracing::info!(generation, routes = table.routes.len(), "route table applied");
        *unsaved = self.persist(table).await;
        Ok((generation, unsaved.is_none()))
    }

    /// The live table as it was applied.
    pub(crate) async fn live_table(&self) -> RouteTable {
        self.last_applied(&*self.applying.lock().await)
    }

    fn last_applied(&self, unsaved: &Option<RouteTable>) -> RouteTable {
        unsaved.clone().unwrap_or_else(|| table_file::read(&self.table_file))
    }

    /// Writes the table to disk; gives it back if that did not work. The file belongs to the router that serves: one that closes
    /// does not touch it.
    async fn persist(self: &Arc<Self>, table: RouteTable) -> Option<RouteTable> {
        if self.is_closing() {
            return Some(table);
        }
        let shared = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || match table_file::write(&shared.table_file, &table) {
            Ok(()) => None,
            Err(error) => {
                tracing::error!(path = %shared.table_file.display(), %error, "the route table is live but could not be written to disk");
                Some(table)
            }
        });
        written.await.unwrap_or_default()
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

    /// What the instances of the table, and those that still serve a request, were sent and failed.
    pub(crate) fn served(&self) -> BTreeMap<InstanceId, Served> {
        let mut endpoints = self.endpoints();
        forget_unused(&mut endpoints);
        let mut served: BTreeMap<InstanceId, Served> = BTreeMap::new();
        for endpoint in endpoints.values() {
            let (answered, failed) = endpoint.served();
            let counts = served.entry(endpoint.instance).or_default();
            counts.answered += answered;
            counts.failed += failed;
        }
        served
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
