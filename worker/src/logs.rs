//! Collects what instances write into the bounded store, so that the log of a crashed or replaced instance can still be read.
//!
//! Each line is stored together with how far its container's log has been read, in one transaction: a restart of the engine loses
//! and doubles nothing.

mod flood;
mod follower;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use windlass_domain::InstanceId;
use windlass_runtime::{ContainerId, Runtime};
use windlass_store::{InstanceRow, Store};

use self::follower::{Follower, Origin};

/// An ended container's log that is not read on for so long is given up, …
const PATIENCE: Duration = Duration::from_secs(3);
/// … and one that takes longer than this to read.
const LONGEST: Duration = Duration::from_secs(15);

/// Follows the logs of all running instances.
pub(crate) struct LogCollector {
    store: Store,
    runtime: Arc<dyn Runtime>,
    following: Mutex<HashMap<InstanceId, Following>>,
    stop: CancellationToken,
}

/// A log that is being followed.
struct Following {
    task: JoinHandle<()>,
    /// How many lines of it were read.
    read: Arc<AtomicU64>,
}

impl LogCollector {
    pub(crate) fn new(store: Store, runtime: Arc<dyn Runtime>) -> Self {
        Self {
            store,
            runtime,
            following: Mutex::default(),
            stop: CancellationToken::new(),
        }
    }

    /// Takes up the logs of everything that runs, after a start.
    pub(crate) async fn follow_all(&self) {
        match self.store.live_instances().await {
            Ok(rows) => rows.iter().for_each(|(row, _)| self.follow(row)),
            Err(error) => tracing::warn!(error = %error, "cannot take up the logs of running instances"),
        }
    }

    /// Follows an instance's log from where it was left; does nothing when it is followed already.
    pub(crate) fn follow(&self, row: &InstanceRow) {
        if let Some(container) = &row.container {
            self.follow_container(row, &ContainerId::new(container.clone()));
        }
    }

    fn follow_container(&self, row: &InstanceRow, container: &ContainerId) {
        let mut following = self.following();
        following.retain(|_, log| !log.task.is_finished());
        following.entry(row.id).or_insert_with(|| {
            let read = Arc::new(AtomicU64::new(0));
            let follower = Follower {
                store: self.store.clone(),
                origin: origin(row, container),
                stop: self.stop.clone(),
                read: read.clone(),
            };
            let task = tokio::spawn(follower.run(self.runtime.clone()));
            Following { task, read }
        });
    }

    /// Waits until an ended container's log has been read to its end, so that the container may be removed. The row need not know
    /// the container: a killed engine may not have come to write it.
    pub(crate) async fn finish(&self, row: &InstanceRow, container: &ContainerId) {
        // One that nobody followed (its stream broke, or the engine was killed) is read now.
        self.follow_container(row, container);
        let following = self.following().remove(&row.id);
        if let Some(mut log) = following
            && !log.ends().await
        {
            tracing::warn!(instance = %row.id, "the log of an ended instance could not be read to its end");
        }
    }

    /// Ends all at once; the next engine goes on from what they have written.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        let following: Vec<Following> = self.following().drain().map(|(_, log)| log).collect();
        for log in following {
            let _ = log.task.await;
        }
    }

    fn following(&self) -> MutexGuard<'_, HashMap<InstanceId, Following>> {
        self.following.lock().expect("no holder of this lock panics")
    }
}

impl Following {
    /// Waits for the end of the log while it comes nearer. False: it was not reached.
    async fn ends(&mut self) -> bool {
        let begin = Instant::now();
        loop {
            let before = self.read.load(Ordering::Relaxed);
            if timeout(PATIENCE, &mut self.task).await.is_ok() {
                return true;
            }
            if self.read.load(Ordering::Relaxed) == before || begin.elapsed() >= LONGEST {
                return false;
            }
        }
    }
}

fn origin(row: &InstanceRow, container: &ContainerId) -> Origin {
    Origin {
        app: row.app,
        instance: row.id,
        release: row.release,
        process: row.process.clone(),
        name: format!("{}.{}", row.process, row.n),
        container: container.clone(),
        cursor_ns: row.log_cursor_ns,
    }
}

/// A store whose database never answers.
#[cfg(test)]
pub(crate) async fn store_without_database() -> Store {
    let options = windlass_store::StoreOptions {
        url: "postgres://nobody@127.0.0.1:1/nothing".to_owned(),
        max_connections: 1,
        master_key: windlass_domain::Secret::new(vec![0; 32]),
    };
    let store = Store::connect(options).await.unwrap();
    store.close().await;
    store
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    /// A log of which a line is read each second, `lines` of them.
    fn log(lines: u64, then_ends: bool) -> Following {
        let read = Arc::new(AtomicU64::new(0));
        let counter = read.clone();
        let task = tokio::spawn(async move {
            for _ in 0..lines {
                sleep(Duration::from_secs(1)).await;
                counter.fetch_add(1, Ordering::Relaxed);
            }
            if !then_ends {
                pending::<()>().await;
            }
        });
        Following { task, read }
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_log_is_waited_for_while_it_is_read() {
        assert!(log(10, true).ends().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_is_not_read_on_is_not_waited_for() {
        let begin = Instant::now();
        assert!(!log(2, false).ends().await);
        assert_eq!(begin.elapsed(), 2 * PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_without_an_end_is_not_waited_for_without_end() {
        let begin = Instant::now();
        assert!(!log(1_000, true).ends().await);
        assert_eq!(begin.elapsed(), LONGEST);
    }
}
