//! Goes on checking instances that are healthy. One that fails often enough in a row is recorded as unhealthy; what follows is the
//! converge loop's business. How often one has failed is only remembered here: an engine that starts anew counts anew.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval},
};
use windlass_domain::InstanceId;
use windlass_runtime::{ProbeResult, probe_host};
use windlass_store::CheckedInstance;

use crate::context::Shared;

/// How often it is looked who is due.
const TICK: Duration = Duration::from_millis(250);
/// How often the instances to be checked are read anew.
const RELOAD: Duration = Duration::from_secs(5);
/// Checks under way at a time.
const AT_ONCE: usize = 256;

/// When an instance is checked next, and how often in a row it has failed.
#[derive(Debug, Clone, Copy)]
struct Standing {
    next: Instant,
    under_way: bool,
    failures: u32,
}

/// Who is checked. Nobody waits for the slow check of another one.
struct Patrol {
    checked: Vec<CheckedInstance>,
    standings: HashMap<InstanceId, Standing>,
    checks: JoinSet<(CheckedInstance, ProbeResult)>,
    permits: Arc<Semaphore>,
}

/// Runs until shutdown.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut patrol = Patrol {
        checked: Vec::new(),
        standings: HashMap::new(),
        checks: JoinSet::new(),
        permits: Arc::new(Semaphore::new(AT_ONCE)),
    };
    let (mut clock, mut reload) = (interval(TICK), interval(RELOAD));
    for timer in [&mut clock, &mut reload] {
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            _ = reload.tick() => patrol.reload(&shared).await,
            _ = clock.tick() => patrol.begin_due(&shared),
            Some(done) = patrol.checks.join_next() => patrol.judge(&shared, done).await,
        }
    }
}

impl Patrol {
    async fn reload(&mut self, shared: &Shared) {
        match shared.store.checked_instances().await {
            Ok(instances) => self.checked = instances,
            Err(error) => return tracing::debug!(error = %error, "cannot read which instances to check"),
        }
        let ids: HashSet<InstanceId> = self.checked.iter().map(|instance| instance.id).collect();
        self.standings.retain(|id, _| ids.contains(id));
    }

    /// Begins to check whoever is due.
    fn begin_due(&mut self, shared: &Shared) {
        let now = Instant::now();
        for instance in &self.checked {
            let interval = Duration::from_secs(instance.check.interval_seconds.max(1).into());
            // A new one was healthy a moment ago.
            let first = Standing {
                next: now + interval,
                under_way: false,
                failures: 0,
            };
            let standing = self.standings.entry(instance.id).or_insert(first);
            if standing.under_way || standing.next > now {
                continue;
            }
            (standing.under_way, standing.next) = (true, now + interval);
            let (instance, permits) = (instance.clone(), self.permits.clone());
            let host = shared.config.app_host(&instance.app);
            self.checks.spawn(async move {
                let _permit = permits.acquire().await;
                let result = probe_host(instance.address, &instance.check, &host).await;
                (instance, result)
            });
        }
    }

    async fn judge(&mut self, shared: &Shared, done: Result<(CheckedInstance, ProbeResult), JoinError>) {
        let Ok((instance, result)) = done else {
            // Whose check it was is not known: all are counted anew.
            return self.standings.clear();
        };
        let Some(standing) = self.standings.get_mut(&instance.id) else {
            return;
        };
        standing.under_way = false;
        standing.failures = failures_after(standing.failures, &result);
        if standing.failures >= instance.check.retries {
            self.standings.remove(&instance.id);
            self.checked.retain(|one| one.id != instance.id);
            give_up(shared, &instance, &result).await;
        }
    }
}

/// A check that passes forgives those that failed before it.
const fn failures_after(before: u32, result: &ProbeResult) -> u32 {
    if result.is_ready() { 0 } else { before + 1 }
}

async fn give_up(shared: &Shared, instance: &CheckedInstance, result: &ProbeResult) {
    tracing::warn!(app = %instance.app, instance = %instance.id, ?result, "an instance no longer passes its health check");
    if let Err(error) = shared.store.instance_unhealthy(instance.id).await {
        tracing::warn!(instance = %instance.id, error = %error, "cannot record an unhealthy instance; it is checked anew");
    }
}
