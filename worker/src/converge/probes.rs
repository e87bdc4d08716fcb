//! Probes of starting instances. One may take up to a minute to be answered, and the app's other instances need looking after
//! meanwhile: an instance is probed until it is healthy, however many rounds that takes, and each round waits for it a while.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use windlass_domain::{AppId, InstanceId};

/// For so long it counts that an instance was found healthy. What was not asked for by then has been lying there for some reason.
const FRESH: Duration = Duration::from_secs(2);

/// Who is probed, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probed {
    pub(super) app: AppId,
    pub(super) instance: InstanceId,
    pub(super) address: SocketAddr,
}

/// Who is being probed.
#[derive(Default)]
pub(crate) struct Probes(Mutex<HashMap<InstanceId, Probe>>);

struct Probe {
    of: Probed,
    /// When it was found healthy.
    healthy: watch::Receiver<Option<Instant>>,
    _task: AbortOnDropHandle<()>,
}

impl Probes {
    /// Waits up to `patience` until an instance is healthy. Unless it is being probed already, `healthy` begins to: it ends when the
    /// instance is healthy.
    pub(super) async fn find_healthy<F>(&self, of: Probed, patience: Duration, healthy: impl FnOnce() -> F) -> bool
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let under_way = self
            .lock()
            .remove(&of.instance)
            .filter(|probe| probe.of == of && probe.counts());
        let mut probe = under_way.unwrap_or_else(|| Probe::begin(of, healthy()));
        let found = timeout(patience, probe.healthy.wait_for(Option::is_some)).await;
        let is_healthy = found.is_ok_and(|told| told.is_ok());
        if !is_healthy {
            self.lock().insert(of.instance, probe);
        }
        is_healthy
    }

    /// Whether an instance is being probed, or has just been found healthy.
    pub(super) fn is_probed(&self, instance: InstanceId) -> bool {
        self.lock().get(&instance).is_some_and(Probe::counts)
    }

    /// Ends the probes of an app's instances that are to be probed no longer.
    pub(super) fn retain(&self, app: AppId, is_wanted: impl Fn(InstanceId) -> bool) {
        self.lock()
            .retain(|instance, probe| probe.of.app != app || is_wanted(*instance));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceId, Probe>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl Probe {
    fn begin(of: Probed, becomes_healthy: impl Future<Output = ()> + Send + 'static) -> Self {
        let (tell, healthy) = watch::channel(None);
        let task = tokio::spawn(async move {
            becomes_healthy.await;
            tell.send_replace(Some(Instant::now()));
        });
        Self {
            of,
            healthy,
            _task: AbortOnDropHandle::new(task),
        }
    }

    fn counts(&self) -> bool {
        self.healthy.borrow().is_none_or(|at| at.elapsed() < FRESH)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const SLICE: Duration = Duration::from_millis(500);

    fn probed(port: u16) -> Probed {
        Probed {
            app: AppId::generate(),
            instance: InstanceId::generate(),
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        }
    }

    /// A probe that finds what the sender says; the sender learns when it is given up.
    fn told() -> (oneshot::Sender<()>, impl Future<Output = ()> + Send + 'static) {
        let (tell, told) = oneshot::channel();
        (tell, async move { told.await.unwrap() })
    }

    async fn is_healthy(probes: &Probes, of: Probed) -> bool {
        probes.find_healthy(of, SLICE, std::future::pending).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_probe_holds_no_round_up_and_its_answer_is_not_lost() {
        let (probes, of) = (Probes::default(), probed(80));
        let (tell, probe) = told();
        let began = Instant::now();
        assert!(!probes.find_healthy(of, SLICE, || probe).await);
        assert!(began.elapsed() < SLICE * 2);
        assert!(probes.is_probed(of.instance));
        tell.send(()).unwrap();
        assert!(is_healthy(&probes, of).await);
        assert!(!probes.is_probed(of.instance));
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_answer_and_one_from_another_address_do_not_count() {
        let (probes, of) = (Probes::default(), probed(80));
        let late = probes.find_healthy(of, SLICE, || tokio::time::sleep(SLICE * 2));
        assert!(!late.await);
        tokio::time::sleep(FRESH * 2).await;
        assert!(!probes.is_probed(of.instance) && !is_healthy(&probes, of).await);
        let moved = Probed {
            address: probed(81).address,
            ..of
        };
        let there = probes.find_healthy(moved, SLICE, || std::future::ready(()));
        assert!(there.await);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_start_any_more_is_probed_no_longer() {
        let (probes, [gone, starting, other]) = (Probes::default(), [80, 81, 82].map(probed));
        let starting = Probed {
            app: gone.app,
            ..starting
        };
        let mut ends = Vec::new();
        for of in [gone, starting, other] {
            let (tell, probe) = told();
            assert!(!probes.find_healthy(of, SLICE, || probe).await);
            ends.push(tell);
        }
        probes.retain(gone.app, |instance| instance == starting.instance);
        ends[0].closed().await;
        assert!(!ends[1].is_closed() && !ends[2].is_closed());
    }
}
