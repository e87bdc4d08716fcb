//! Which apps want a look. Never two looks at one app at a time; any number of wake-ups while one is under way make one more.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Mutex,
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use windlass_domain::{AppId, InstanceId};

use super::probes::Probes;

/// The queue, its timers, and what goes on in the background: stops and probes.
#[derive(Default)]
pub(crate) struct Converger {
    state: Mutex<State>,
    ready: Notify,
    all: Notify,
    pub(super) probes: Probes,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<AppId>,
    running: HashSet<AppId>,
    again: HashSet<AppId>,
    timers: HashMap<AppId, Instant>,
    stopping: HashSet<InstanceId>,
}

impl Converger {
    /// Wants a look at this app.
    pub(crate) fn wake(&self, app: AppId) {
        let mut state = self.lock();
        if state.running.contains(&app) {
            state.again.insert(app);
        } else if !state.waiting.contains(&app) {
            state.waiting.push_back(app);
            self.ready.notify_one();
        }
    }

    /// Wants a look at every app.
    pub(crate) fn wake_all(&self) {
        self.all.notify_one();
    }

    /// Returns when a look at every app is wanted.
    pub(crate) async fn all_wanted(&self) {
        self.all.notified().await;
    }

    /// The next app to look at; it counts as running until [`Self::done`].
    pub(crate) async fn next(&self) -> AppId {
        loop {
            let wait = match self.take() {
                Ok(app) => return app,
                Err(wait) => wait,
            };
            tokio::select! {
                () = self.ready.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn take(&self) -> Result<AppId, Duration> {
        let mut state = self.lock();
        let now = Instant::now();
        let due: Vec<AppId> = state
            .timers
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(app, _)| *app)
            .collect();
        for app in due {
            state.timers.remove(&app);
            if !state.running.contains(&app) && !state.waiting.contains(&app) {
                state.waiting.push_back(app);
            }
        }
        if let Some(app) = state.waiting.pop_front() {
            state.timers.remove(&app);
            state.running.insert(app);
            return Ok(app);
        }
        let next = state
            .timers
            .values()
            .min()
            .map_or(Duration::from_secs(60), |at| *at - now);
        Err(next)
    }

    /// A look ended; another one is wanted after `again`, if it says so.
    pub(crate) fn done(&self, app: AppId, again: Option<Duration>) {
        let mut state = self.lock();
        state.running.remove(&app);
        if state.again.remove(&app) {
            state.waiting.push_back(app);
        } else if let Some(wait) = again {
            state.timers.insert(app, Instant::now() + wait);
        }
        self.ready.notify_one();
    }

    /// Marks an instance as being stopped in the background; false if it is already.
    pub(crate) fn begin_stopping(&self, instance: InstanceId) -> bool {
        self.lock().stopping.insert(instance)
    }

    /// The background stop ended.
    pub(crate) fn end_stopping(&self, instance: InstanceId) {
        self.lock().stopping.remove(&instance);
    }

    /// Whether an instance is being stopped in the background.
    pub(crate) fn is_stopping(&self, instance: InstanceId) -> bool {
        self.lock().stopping.contains(&instance)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_app_is_never_looked_at_twice_at_once() {
        let converger = Converger::default();
        let app = AppId::generate();
        converger.wake(app);
        converger.wake(app);
        assert_eq!(converger.next().await, app);
        converger.wake(app);
        converger.wake(app);
        let second = tokio::time::timeout(Duration::from_secs(1), converger.next()).await;
        assert!(second.is_err(), "a second look began while the first was under way");
        converger.done(app, None);
        assert_eq!(converger.next().await, app);
        converger.done(app, None);
        assert!(
            tokio::time::timeout(Duration::from_secs(1), converger.next())
                .await
                .is_err()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_app_comes_again_when_its_time_has_come() {
        let converger = Converger::default();
        let app = AppId::generate();
        converger.wake(app);
        converger.next().await;
        let before = Instant::now();
        converger.done(app, Some(Duration::from_secs(3)));
        assert_eq!(converger.next().await, app);
        assert_eq!(before.elapsed().as_secs(), 3);
    }
}
