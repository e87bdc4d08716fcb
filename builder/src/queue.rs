//! Which builds run and which wait: as many at once as are allowed, and a further one only while the machine has the memory for it.

use std::time::Duration;

use tokio::sync::{Mutex, mpsc, watch};

use crate::{
    BuildEvent,
    memory::{self, human_bytes},
};

/// Memory is freed without anybody telling us.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The builds of this process. They are let in one after another, in the order in which they came.
pub(crate) struct Queue {
    at_most: usize,
    memory_bytes: u64,
    available: fn() -> Option<u64>,
    turn: Mutex<()>,
    running: watch::Sender<usize>,
}

/// The right to build; given back when dropped.
pub(crate) struct Slot(watch::Sender<usize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

/// Why a build has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    ForSlot { running: usize },
    ForMemory { running: usize, free: u64, needed: u64 },
}

impl Wait {
    fn told(self) -> String {
        let builds = |running: usize| {
            if running == 1 {
                "1 build runs".to_owned()
            } else {
                format!("{running} builds run")
            }
        };
        match self {
            Self::ForSlot { running } => format!("Waiting for a build slot: {}", builds(running)),
            Self::ForMemory { running, free, needed } => format!(
                "Waiting for memory: {}, and another one may need {} while {} are free",
                builds(running),
                human_bytes(needed),
                human_bytes(free)
            ),
        }
    }
}

impl Queue {
    /// `memory_bytes` is what one build may use.
    pub(crate) fn new(at_most: usize, memory_bytes: u64) -> Self {
        Self {
            at_most: at_most.max(1),
            memory_bytes,
            available: memory::available,
            turn: Mutex::new(()),
            running: watch::Sender::new(0),
        }
    }

    /// How many builds run.
    pub(crate) fn running(&self) -> usize {
        *self.running.borrow()
    }

    /// Waits until this build may begin; each new reason to wait is told once. Dropping the future leaves the queue.
    pub(crate) async fn enter(&self, events: &mpsc::Sender<BuildEvent>) -> Slot {
        let mut told = None;
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) => {
                let wait = Wait::ForSlot {
                    running: self.running(),
                };
                told = Some(std::mem::discriminant(&wait));
                tell(events, wait).await;
                self.turn.lock().await
            }
        };
        let mut running = self.running.subscribe();
        loop {
            let now = *running.borrow_and_update();
            let Some(wait) = self.wait(now) else {
                self.running.send_modify(|running| *running += 1);
                return Slot(self.running.clone());
            };
            let kind = std::mem::discriminant(&wait);
            if told != Some(kind) {
                told = Some(kind);
                tell(events, wait).await;
            }
            tokio::select! {
                _ = running.changed() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// A build that is alone may always run: a limit that the machine never has free would otherwise block all builds for ever.
    fn wait(&self, running: usize) -> Option<Wait> {
        if running == 0 {
            return None;
        }
        if running >= self.at_most {
            return Some(Wait::ForSlot { running });
        }
        let (free, needed) = ((self.available)()?, self.memory_bytes);
        (free < needed).then_some(Wait::ForMemory { running, free, needed })
    }
}

async fn tell(events: &mpsc::Sender<BuildEvent>, wait: Wait) {
    // Nobody listens any more: it waits all the same.
    let _ = events.send(BuildEvent::Waiting { reason: wait.told() }).await;
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;

    /// Enters as a task; what it is told.
    fn entering(queue: &Arc<Queue>) -> (tokio::task::JoinHandle<Slot>, mpsc::Receiver<BuildEvent>) {
        let (events, told) = mpsc::channel(8);
        let queue = queue.clone();
        (tokio::spawn(async move { queue.enter(&events).await }), told)
    }

    async fn hears(told: &mut mpsc::Receiver<BuildEvent>) -> String {
        match tokio::time::timeout(Duration::from_secs(5), told.recv()).await {
            Ok(Some(BuildEvent::Waiting { reason })) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn builds_beyond_the_limit_wait_their_turn_and_say_why() {
        let mut queue = Queue::new(2, 0);
        queue.available = || None;
        let queue = Arc::new(queue);
        let (first, _) = entering(&queue);
        let (second, mut told) = entering(&queue);
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert!(told.recv().await.is_none());
        let (third, mut told) = entering(&queue);
        assert_eq!(hears(&mut told).await, "Waiting for a build slot: 2 builds run");
        let (fourth, mut told) = entering(&queue);
        assert_eq!(hears(&mut told).await, "Waiting for a build slot: 2 builds run");
        drop(first);
        let third = third.await.unwrap();
        assert!(!fourth.is_finished());
        fourth.abort();
        drop((second, third));
        assert!(fourth.await.is_err());
        assert_eq!(queue.running(), 0, "whoever leaves the queue takes no slot");
        drop(entering(&queue).0.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_build_waits_for_memory_but_a_first_one_never_does() {
        static FREE: AtomicU64 = AtomicU64::new(1 << 30);
        let mut queue = Queue::new(8, 2 << 30);
        queue.available = || Some(FREE.load(Ordering::Relaxed));
        let queue = Arc::new(queue);
        let first = entering(&queue).0.await.unwrap();
        let (second, mut told) = entering(&queue);
        assert_eq!(
            hears(&mut told).await,
            "Waiting for memory: 1 build runs, and another one may need 2.0 GiB while 1.0 GiB are free"
        );
        FREE.store(2 << 30, Ordering::Relaxed);
        drop(second.await.unwrap());
        FREE.store(0, Ordering::Relaxed);
        let (third, mut told) = entering(&queue);
        hears(&mut told).await;
        drop(first);
        drop(third.await.unwrap());
    }
}
