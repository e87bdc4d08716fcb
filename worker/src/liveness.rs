//! Goes on checking instances that are healthy. One that fails often enough in a row is recorded as unhealthy; what follows is the
//! converge loop's business. How often one has failed is only remembered here: an engine that starts anew counts anew.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Semaphore, task::JoinSet, time::Instant};
use windlass_domain::{HealthCheck, InstanceId, InstanceState};
use windlass_runtime::{ProbeResult, probe_host};
use windlass_store::{CheckedInstance, InstanceEnd};

use crate::context::Shared;

/// How often it is looked who is due.
const TICK: Duration = Duration::from_secs(1);
/// Checks under way at a time.
const AT_ONCE: usize = 32;
/// How often the instances to be checked are read anew.
const RELOAD: u32 = 5;

/// When an instance is checked next, and how often in a row it has failed.
#[derive(Debug, Clone, Copy)]
struct Standing {
    next: Instant,
    failures: u32,
}

/// Runs until shutdown.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut clock = tokio::time::interval(TICK);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut checked = Vec::new();
    let mut standings = HashMap::new();
    for tick in 0_u32.. {
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            _ = clock.tick() => {}
        }
        if tick % RELOAD == 0 {
            match shared.store.checked_instances().await {
                Ok(instances) => checked = instances,
                Err(error) => tracing::debug!(error = %error, "cannot read which instances to check"),
            }
            let ids: HashSet<InstanceId> = checked.iter().map(|instance| instance.id).collect();
            standings.retain(|id, _| ids.contains(id));
        }
        round(&shared, &checked, &mut standings).await;
    }
}

/// Checks whoever is due, side by side.
async fn round(shared: &Arc<Shared>, checked: &[CheckedInstance], standings: &mut HashMap<InstanceId, Standing>) {
    let now = Instant::now();
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut checks = JoinSet::new();
    for instance in checked {
        // A new one was healthy a moment ago.
        let first = Standing {
            next: now + interval(&instance.check),
            failures: 0,
        };
        if standings.entry(instance.id).or_insert(first).next > now {
            continue;
        }
        let (instance, permits) = (instance.clone(), permits.clone());
        let host = shared.config.app_host(&instance.app);
        checks.spawn(async move {
            let _permit = permits.acquire().await;
            let result = probe_host(instance.address, &instance.check, &host).await;
            (instance, result)
        });
    }
    while let Some(done) = checks.join_next().await {
        let Ok((instance, result)) = done else { continue };
        let Some(standing) = standings.get_mut(&instance.id) else {
            continue;
        };
        *standing = after(*standing, &instance.check, result == ProbeResult::Ready);
        if standing.failures >= instance.check.retries {
            standings.remove(&instance.id);
            give_up(shared, &instance, &result).await;
        }
    }
}

fn interval(check: &HealthCheck) -> Duration {
    Duration::from_secs(check.interval_seconds.max(1).into())
}

/// A check that passes forgives those that failed before it.
fn after(standing: Standing, check: &HealthCheck, passed: bool) -> Standing {
    Standing {
        next: Instant::now() + interval(check),
        failures: if passed { 0 } else { standing.failures + 1 },
    }
}

async fn give_up(shared: &Shared, instance: &CheckedInstance, result: &ProbeResult) {
    tracing::warn!(app = %instance.app, instance = %instance.id, ?result, "an instance no longer passes its health check");
    let state = InstanceState::Unhealthy;
    if let Err(error) = shared
        .store
        .set_instance_state(instance.id, state, InstanceEnd::default())
        .await
    {
        tracing::warn!(instance = %instance.id, error = %error, "cannot record an unhealthy instance; it is checked anew");
    }
}
