//! Crash points: the moments just before and just after something that cannot be taken back — a commit in Postgres, a change in
//! Docker. The proxies see them pass; a trap that was set for one of them springs there.
//!
//! A point is named by what is done and by how often that was done before since the counting began, not by its number in the whole
//! stream: loops that run beside a deployment shift such numbers from run to run.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

/// The n-th time that something is done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// What is done: a statement or a call.
    pub what: String,
    /// Counted from 1.
    pub occurrence: u32,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.what, self.occurrence)
    }
}

/// Before the change reaches the server, or after the server has made it and before the engine hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Nothing has happened yet.
    Before,
    /// It has happened and nobody was told.
    After,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Before, Self::After];
}

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The engine is killed with SIGKILL.
    Kill,
    /// The engine is stopped with SIGSTOP; the message waits until [`Points::let_go`].
    Stop,
    /// The engine is told that it failed: a 500 from Docker, a broken connection from Postgres.
    Fail,
    /// The connection breaks.
    Cut,
}

/// A point, a side, and what shall happen there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trap {
    /// Where.
    pub point: Point,
    /// On which side of it.
    pub side: Side,
    /// What.
    pub action: Action,
}

/// A trap that is about to spring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// On which side.
    pub side: Side,
    /// What.
    pub action: Action,
    /// The process that is killed or stopped.
    pub victim: u32,
}

/// All that passes by, and the trap that is set. Shared by the proxies of one engine.
#[derive(Debug)]
pub struct Points {
    state: Mutex<State>,
    sprung: watch::Sender<Option<Instant>>,
    held: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    counting: bool,
    counts: BTreeMap<String, u32>,
    seen: Vec<Point>,
    trap: Option<Trap>,
    victim: Victim,
}

/// Whom a trap is for.
#[derive(Debug, Clone)]
enum Victim {
    /// This process, whoever reaches the point.
    This(u32),
    /// The one of these that reaches the point; what others do is not counted.
    OneOf(Vec<u32>),
}

impl Default for Victim {
    fn default() -> Self {
        Self::This(0)
    }
}

impl Default for Points {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            sprung: watch::Sender::new(None),
            held: watch::Sender::new(false),
        }
    }
}

impl Points {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    /// Begins to count anew, with a trap or none; `victim` is the process that is killed or stopped.
    pub fn begin(&self, victim: u32, trap: Option<Trap>) {
        self.count(Victim::This(victim), trap);
    }

    /// As [`Self::begin`], counting only what these processes do; the one that reaches the trap is killed or stopped.
    pub fn begin_among(&self, processes: Vec<u32>, trap: Option<Trap>) {
        self.count(Victim::OneOf(processes), trap);
    }

    fn count(&self, victim: Victim, trap: Option<Trap>) {
        self.sprung.send_replace(None);
        *self.state() = State {
            counting: true,
            trap,
            victim,
            ..State::default()
        };
    }

    /// Ends the counting and gives what was seen, in order. A trap that has not sprung is taken away.
    pub fn end(&self) -> Vec<Point> {
        std::mem::take(&mut *self.state()).seen
    }

    /// Called by a proxy when something is about to be done by the process `by`.
    pub fn reach(&self, what: &str, by: u32) -> Option<Hit> {
        let mut state = self.state();
        if !state.counting {
            return None;
        }
        let victim = match &state.victim {
            Victim::This(victim) => *victim,
            Victim::OneOf(processes) if processes.contains(&by) => by,
            Victim::OneOf(_) => return None,
        };
        let count = state.counts.entry(what.to_owned()).or_default();
        *count += 1;
        let point = Point {
            what: what.to_owned(),
            occurrence: *count,
        };
        let is_it = state.trap.as_ref().is_some_and(|trap| trap.point == point);
        state.seen.push(point);
        let trap = if is_it { state.trap.take() } else { None };
        trap.map(|trap| Hit {
            side: trap.side,
            action: trap.action,
            victim,
        })
    }

    /// Called by a proxy at the very moment. Returns when the proxy may go on.
    pub async fn spring(&self, hit: Hit) {
        let victim = Pid::from_raw(hit.victim.cast_signed());
        let signal = match hit.action {
            Action::Kill => Some(Signal::KILL),
            Action::Stop => Some(Signal::STOP),
            Action::Fail | Action::Cut => None,
        };
        if let (Some(victim), Some(signal)) = (victim, signal) {
            let _ = kill_process(victim, signal);
        }
        if hit.action == Action::Stop {
            self.held.send_replace(true);
        }
        self.sprung.send_replace(Some(Instant::now()));
        if hit.action == Action::Stop {
            let _ = self.held.subscribe().wait_for(|held| !held).await;
        }
    }

    /// Lets a message go on that a stopped engine had sent.
    pub fn let_go(&self) {
        self.held.send_replace(false);
    }

    /// Waits until the trap has sprung, and says when; none when it has not within `patience`.
    pub async fn sprung(&self, patience: Duration) -> Option<Instant> {
        let mut sprung = self.sprung.subscribe();
        let waited = tokio::time::timeout(patience, sprung.wait_for(Option::is_some)).await;
        waited.ok()?.ok().and_then(|at| *at)
    }

    /// Whether the trap has sprung.
    pub fn has_sprung(&self) -> bool {
        self.sprung.borrow().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(what: &str, occurrence: u32) -> Point {
        Point {
            what: what.to_owned(),
            occurrence,
        }
    }

    #[test]
    fn a_trap_springs_at_its_occurrence_and_once() {
        let points = Points::default();
        assert_eq!(
            points.reach("commit", 0),
            None,
            "nothing is counted before the beginning"
        );
        let trap = Trap {
            point: point("commit", 2),
            side: Side::After,
            action: Action::Fail,
        };
        points.begin(0, Some(trap));
        let reached: Vec<bool> = ["commit", "create", "commit", "commit"]
            .map(|what| points.reach(what, 0).is_some())
            .into();
        assert_eq!(reached, [false, false, true, false]);
        assert_eq!(
            points.end(),
            [
                point("commit", 1),
                point("create", 1),
                point("commit", 2),
                point("commit", 3)
            ]
        );
        assert_eq!(points.reach("commit", 0), None);
    }

    #[test]
    fn a_trap_for_one_of_several_is_for_the_one_that_reaches_it() {
        let points = Points::default();
        let trap = Trap {
            point: point("commit", 2),
            side: Side::Before,
            action: Action::Fail,
        };
        points.begin_among(vec![7, 8], Some(trap));
        let victims = [7, 9, 8].map(|by| points.reach("commit", by).map(|hit| hit.victim));
        assert_eq!(victims, [None, None, Some(8)]);
        assert_eq!(points.end().len(), 2, "what another process does is not counted");
    }

    #[tokio::test]
    async fn whoever_waits_hears_that_it_sprang() {
        let points = Points::default();
        points.begin(0, None);
        assert!(points.sprung(Duration::from_millis(1)).await.is_none());
        points
            .spring(Hit {
                side: Side::Before,
                action: Action::Fail,
                victim: 0,
            })
            .await;
        assert!(points.sprung(Duration::from_secs(5)).await.is_some());
    }
}
