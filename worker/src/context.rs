//! What the loops share, and how they are started.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::Utc;
use futures::{StreamExt, stream::BoxStream};
use ipnet::Ipv4Net;
use tokio::sync::{Notify, broadcast};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use windlass_builder::Builder;
use windlass_domain::{AppName, Hostname, Secret, labels};
use windlass_runtime::{EventKind, Runtime, RuntimeError, RuntimeEvent};
use windlass_source::Repositories;
use windlass_store::{Event, Store, WorkerId};

use crate::{
    DiskLimits, Edge, claim, converge::Converger, liveness, logs::LogCollector, outage::Outage, routes::RoutePublisher,
    sweep, watch,
};

/// What an operator sets.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Apps answer at `{app}.{base_domain}`.
    pub base_domain: Hostname,
    /// `http` or `https`, for URLs in logs.
    pub app_scheme: &'static str,
    /// The port in app URLs; none for the scheme's own.
    pub app_port: Option<u16>,
    /// Subnets of apps are cut from it.
    pub network_pool: Ipv4Net,
    /// The engine's id: tells what is its own from what belongs to another one on the same machine.
    pub engine_id: String,
    /// After this a silent worker's work is taken over.
    pub lease: Duration,
    /// Deployments that are built at a time.
    pub builds: u32,
    /// Releases of an app whose images are kept.
    pub keep_releases: u32,
    /// What must be free for a build to begin.
    pub disk: DiskLimits,
}

impl WorkerConfig {
    /// Where an app answers.
    pub fn app_url(&self, app: &AppName) -> String {
        let port = self.app_port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", self.app_scheme, self.app_host(app))
    }

    /// The labels that say whose something is.
    pub(crate) fn engine_labels(&self) -> BTreeMap<String, String> {
        let labels = [(labels::MANAGED, "true"), (labels::ENGINE, self.engine_id.as_str())];
        labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    /// The host that requests for an app name.
    pub fn app_host(&self, app: &AppName) -> String {
        format!("{app}.{}", self.base_domain)
    }
}

/// What the worker is made of.
pub struct WorkerParts {
    /// Who this worker is; a new id at each start.
    pub id: WorkerId,
    /// A worker that is known to be dead, if one is: what it held is taken over at once rather than when its leases run out.
    pub predecessor: Option<WorkerId>,
    /// The rows.
    pub store: Store,
    /// The containers.
    pub runtime: Arc<dyn Runtime>,
    /// The builds.
    pub builder: Builder,
    /// The repositories.
    pub repositories: Repositories,
    /// The edge.
    pub edge: Arc<dyn Edge>,
    /// What an operator sets.
    pub config: WorkerConfig,
}

/// The worker role of an engine.
#[derive(Clone)]
pub struct Worker {
    pub(crate) shared: Arc<Shared>,
    predecessor: Option<WorkerId>,
}

pub(crate) struct Shared {
    pub(crate) id: WorkerId,
    pub(crate) store: Store,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) builder: Builder,
    pub(crate) repositories: Repositories,
    pub(crate) edge: Arc<dyn Edge>,
    pub(crate) config: WorkerConfig,
    pub(crate) routes: RoutePublisher,
    pub(crate) logs: LogCollector,
    pub(crate) converger: Converger,
    pub(crate) outage: Outage,
    /// Wakes the claiming loop.
    pub(crate) work_waits: Notify,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Worker {
    /// Puts the worker together; nothing runs yet.
    pub fn new(parts: WorkerParts, shutdown: CancellationToken) -> Self {
        let shared = Shared {
            id: parts.id,
            routes: RoutePublisher::new(parts.store.clone(), parts.edge.clone(), parts.config.clone()),
            logs: LogCollector::new(parts.store.clone(), parts.runtime.clone()),
            converger: Converger::default(),
            outage: Outage::default(),
            store: parts.store,
            runtime: parts.runtime,
            builder: parts.builder,
            repositories: parts.repositories,
            edge: parts.edge,
            config: parts.config,
            work_waits: Notify::new(),
            shutdown,
            tasks: TaskTracker::new(),
        };
        Self {
            shared: Arc::new(shared),
            predecessor: parts.predecessor,
        }
    }

    /// Runs the loops until shutdown. Converges once before it takes deployments. Work that is under way at shutdown is handed
    /// over; the future ends when nothing of it runs any more.
    pub async fn run(self) {
        let shared = self.shared;
        if let Some(dead) = self.predecessor
            && let Err(error) = shared.store.expire_leases(dead).await
        {
            tracing::warn!(error = %error, "what the last worker held is taken over when its leases run out");
        }
        let events = shared.store.events();
        shared.logs.follow_all().await;
        if let Err(error) = shared.routes.publish().await {
            tracing::warn!(
                error = format!("{error:#}"),
                "the first route table could not be handed over; trying again"
            );
        }
        tokio::select! {
            () = shared.shutdown.cancelled() => {}
            () = crate::converge::first_look(&shared) => {}
        }
        let _ = tokio::join!(
            listen(shared.clone(), events),
            crate::converge::run(shared.clone()),
            claim::run(shared.clone()),
            liveness::run(shared.clone()),
            watch::run(shared.clone()),
            sweep::run(shared.clone()),
            crate::repositories::run(shared.clone()),
            watch_runtime(shared.clone()),
        );
        shared.tasks.close();
        shared.tasks.wait().await;
        shared.logs.stop().await;
    }
}

/// Turns notifications of the database into wake-ups.
async fn listen(shared: Arc<Shared>, mut events: broadcast::Receiver<Event>) {
    loop {
        let event = tokio::select! {
            () = shared.shutdown.cancelled() => return,
            event = events.recv() => event,
        };
        match event {
            Ok(Event::Deployment { .. }) => shared.work_waits.notify_one(),
            Ok(Event::App(app)) => shared.converger.wake(app),
            Ok(Event::DeploymentLog(_) | Event::RunLog(_)) => {}
            Ok(Event::Resync) | Err(broadcast::error::RecvError::Lagged(_)) => {
                shared.work_waits.notify_one();
                shared.converger.wake_all();
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Apps that a restart of the runtime ended wait for this.
const RECONNECT: Duration = Duration::from_millis(100);

/// Turns events of the container runtime into wake-ups: a hint to look, so a lost one costs only time. When they end, the runtime may
/// have ended.
async fn watch_runtime(shared: Arc<Shared>) {
    let mut complained = false;
    while !shared.shutdown.is_cancelled() {
        let asked = Utc::now();
        let subscribed = tokio::select! {
            () = shared.shutdown.cancelled() => return,
            subscribed = shared.runtime.events() => subscribed,
        };
        let end = match subscribed {
            Ok(events) => {
                shared.outage.answers(asked, Utc::now());
                shared.converger.wake_all();
                // Nothing was claimed while it was away.
                shared.work_waits.notify_one();
                until_lost(&shared, events).await
            }
            Err(error) => Err(error),
        };
        // One that answers, though not what it was asked, is not away.
        if !matches!(end, Err(RuntimeError::Refused { .. } | RuntimeError::Unreadable { .. })) {
            shared.outage.begins(Utc::now());
        }
        match end {
            Ok(()) => complained = false,
            Err(error) if !complained => {
                complained = true;
                tracing::warn!(error = %error, "no events from the container runtime; trying again until they come");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = shared.shutdown.cancelled() => {}
            () = tokio::time::sleep(RECONNECT) => {}
        }
    }
}

async fn until_lost(
    shared: &Shared,
    mut events: BoxStream<'static, Result<RuntimeEvent, RuntimeError>>,
) -> Result<(), RuntimeError> {
    loop {
        let event = tokio::select! {
            () = shared.shutdown.cancelled() => return Ok(()),
            event = events.next() => event,
        };
        match event.transpose()? {
            Some(event) if matches!(event.kind, EventKind::Started) => {}
            Some(event) => shared.converger.wake(event.app),
            None => return Ok(()),
        }
    }
}

/// The environment variables that Windlass itself gives to an instance.
pub(crate) fn platform_env(entries: [(&str, String); 5]) -> BTreeMap<String, Secret<String>> {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), Secret::new(value)))
        .collect()
}
