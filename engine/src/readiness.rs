//! What `/readyz` says of each dependency.

use std::{
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use windlass_api::{Check, ReadinessChecks};
use windlass_router::control::ControlClient;
use windlass_runtime::Runtime;
use windlass_store::Store;

/// A dependency that does not answer within this counts as down.
const PATIENCE: Duration = Duration::from_secs(2);

/// Docker, as soon as the worker has reached it.
pub type RuntimeSlot = Arc<RwLock<Option<Arc<dyn Runtime>>>>;

/// The dependencies of this process.
pub struct Dependencies {
    /// PostgreSQL.
    pub store: Store,
    /// Docker; none without the worker role.
    pub runtime: Option<RuntimeSlot>,
    /// The router; none when another program routes.
    pub router: Option<ControlClient>,
}

#[async_trait]
impl ReadinessChecks for Dependencies {
    async fn check(&self) -> Vec<Check> {
        let database = timed("postgres", async {
            self.store.ping().await.map_err(|error| error.to_string())
        });
        let docker = timed("docker", self.docker());
        let router = timed("router", self.router());
        let (database, docker, router) = tokio::join!(database, docker, router);
        let mut checks = vec![database];
        checks.extend(self.runtime.is_some().then_some(docker));
        checks.extend(self.router.is_some().then_some(router));
        checks
    }
}

impl Dependencies {
    async fn docker(&self) -> Result<(), String> {
        let runtime = self
            .runtime
            .as_ref()
            .and_then(|slot| slot.read().expect("no holder of this lock panics").clone());
        match runtime {
            Some(runtime) => runtime.info().await.map(drop).map_err(|error| error.to_string()),
            None => Err("not reached yet; is dockerd running?".to_owned()),
        }
    }

    async fn router(&self) -> Result<(), String> {
        match &self.router {
            Some(client) => client.status().await.map(drop).map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }
}

async fn timed(name: &'static str, check: impl Future<Output = Result<(), String>>) -> Check {
    let begin = Instant::now();
    let result = tokio::time::timeout(PATIENCE, check)
        .await
        .unwrap_or_else(|_| Err("does not answer".to_owned()));
    Check {
        name: name.to_owned(),
        ok: result.is_ok(),
        detail: result.err(),
        millis: u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}
