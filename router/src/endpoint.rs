//! One address that serves requests: how many it is serving and has served, whether it refused a connection lately, and its idle
//! connections.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use windlass_domain::InstanceId;

use crate::upstream::Link;

/// First pause after a refused connection; each further one doubles it.
const FIRST_EJECTION: Duration = Duration::from_secs(2);
const LONGEST_EJECTION: Duration = Duration::from_secs(30);

/// An instance at its address. Lives as long as a table names it or a request uses it.
pub(crate) struct Endpoint {
    pub(crate) instance: InstanceId,
    pub(crate) address: SocketAddr,
    in_flight: AtomicUsize,
    answered: AtomicU64,
    failed: AtomicU64,
    retired: AtomicBool,
    refusals: AtomicU32,
    /// Milliseconds since `born` until which no request is sent; 0 if none.
    ejected_until_ms: AtomicU64,
    born: Instant,
    #[expect(
        clippy::vec_box,
        reason = "a connection is large and moves often between here and its request"
    )]
    /// Idle connections, one stack per worker thread: a connection never changes its thread.
    idle: Box<[Mutex<Vec<Box<Link>>>]>,
}

impl Endpoint {
    pub(crate) fn new(instance: InstanceId, address: SocketAddr, workers: usize) -> Self {
        Self {
            instance,
            address,
            in_flight: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            refusals: AtomicU32::new(0),
            ejected_until_ms: AtomicU64::new(0),
            born: Instant::now(),
            idle: (0..workers).map(|_| Mutex::default()).collect(),
        }
    }

    /// Requests and tunnels that use this address now.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Requests and tunnels that it was sent and that are over, and how many of them it failed.
    pub(crate) fn served(&self) -> (u64, u64) {
        let failed = self.failed.load(Relaxed);
        (self.answered.load(Relaxed), failed)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether it refused connections a moment ago.
    pub(crate) fn is_ejected(&self) -> bool {
        let until = self.ejected_until_ms.load(Relaxed);
        until != 0 && self.now_ms() < until
    }

    /// Gives it no requests for a while: 2 s, doubling with each refusal in a row up to 30 s.
    pub(crate) fn eject(&self) {
        let refusals = self.refusals.fetch_add(1, Relaxed).min(8);
        let pause = (FIRST_EJECTION * 2_u32.pow(refusals)).min(LONGEST_EJECTION);
        let until = self.now_ms() + u64::try_from(pause.as_millis()).unwrap_or(u64::MAX / 2);
        self.ejected_until_ms.store(until, Relaxed);
    }

    /// It accepted a connection.
    pub(crate) fn welcome(&self) {
        if self.refusals.load(Relaxed) != 0 {
            self.refusals.store(0, Relaxed);
            self.ejected_until_ms.store(0, Relaxed);
        }
    }

    #[expect(clippy::vec_box, reason = "as above")]
    fn idle_of(&self, worker: usize) -> std::sync::MutexGuard<'_, Vec<Box<Link>>> {
        // A poisoned stack of idle connections is still a stack of idle connections.
        self.idle[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection of this worker that was used last, if any.
    pub(crate) fn take_idle(&self, worker: usize) -> Option<Box<Link>> {
        self.idle_of(worker).pop()
    }

    /// Keeps a connection for the next request, unless nobody will ask for it.
    pub(crate) fn keep_idle(&self, worker: usize, link: Box<Link>, max: usize) {
        let mut idle = self.idle_of(worker);
        if idle.len() < max && !self.retired.load(Relaxed) {
            idle.push(link);
        }
    }

    /// Closes idle connections that the instance closed or that are older than `max_age`.
    pub(crate) fn sweep(&self, worker: usize, max_age: Duration) {
        self.idle_of(worker)
            .retain_mut(|link| link.idle_for() < max_age && link.is_usable());
    }

    /// No table names it any more: close what is idle, keep nothing.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Relaxed);
        (0..self.idle.len()).for_each(|worker| self.idle_of(worker).clear());
    }

    /// Whether no table names it.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    /// A table names it again.
    pub(crate) fn revive(&self) {
        self.retired.store(false, Relaxed);
    }
}

/// How a request ended, as far as the instance is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It was answered, or its client went away.
    Over,
    /// It was answered with a status of 500 or more, not at all, or not to its end.
    Failed,
    /// The instance never got it.
    Unsent,
}

/// One request or tunnel that uses an endpoint; in flight from its choice until this and all shares are dropped, and counted as
/// served when this is.
pub(crate) struct InFlight {
    endpoint: Arc<Endpoint>,
    outcome: Outcome,
    /// Its place among those in flight, if another part of it holds that too.
    shared: Option<Arc<Place>>,
}

impl InFlight {
    pub(crate) fn new(endpoint: &Arc<Endpoint>) -> Self {
        endpoint.in_flight.fetch_add(1, Relaxed);
        Self {
            endpoint: Arc::clone(endpoint),
            outcome: Outcome::Over,
            shared: None,
        }
    }

    /// The instance failed the request.
    pub(crate) fn fail(&mut self) {
        self.outcome = Outcome::Failed;
    }

    /// The request goes to another connection: the instance got nothing of it, or closed a kept connection at that moment.
    pub(crate) fn pass_over(mut self) {
        self.outcome = Outcome::Unsent;
    }

    /// For a part of the request that may outlive its response: the request is in flight until that has ended too.
    pub(crate) fn share(&mut self) -> Arc<Place> {
        let place = self
            .shared
            .get_or_insert_with(|| Arc::new(Place(Arc::clone(&self.endpoint))));
        Arc::clone(place)
    }
}

impl std::ops::Deref for InFlight {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.outcome != Outcome::Unsent {
            self.endpoint.answered.fetch_add(1, Relaxed);
        }
        if self.outcome == Outcome::Failed {
            self.endpoint.failed.fetch_add(1, Relaxed);
        }
        if self.shared.is_none() {
            self.endpoint.in_flight.fetch_sub(1, Relaxed);
        }
    }
}

/// A request's place among those in flight, once it is shared.
pub(crate) struct Place(Arc<Endpoint>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
