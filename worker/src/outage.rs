//! When the container runtime was away: what ended with it did not end by itself, and is nobody's crash.
//!
//! It is remembered here only. So all that ended before the first answer counts as if the runtime had been away until then: after a
//! power cut, or when the engine was restarted while Docker was, nobody can tell it from a crash. An app that does crash does it again.

use std::sync::Mutex;

use chrono::{DateTime, Duration, Utc};
use tokio::time::Instant;
use windlass_runtime::ContainerState;

/// The last outage of the runtime that this worker saw.
#[derive(Debug)]
pub(crate) struct Outage(Mutex<Seen>);

#[derive(Debug)]
struct Seen {
    /// When this worker noticed the last outage; of the time before it began nothing is known. Not by the wall clock, which is set
    /// after a boot and jumps after a sleep.
    noticed: Instant,
    /// When the runtime last answered.
    answered: Option<DateTime<Utc>>,
    last: Span,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    since: DateTime<Utc>,
    /// None: it goes on.
    until: Option<DateTime<Utc>>,
}

impl Span {
    fn is_felt(self, now: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| now <= until + AFTERMATH)
    }
}

/// The runtime writes an end down by its own clock, and a little after it has happened.
const INEXACT: Duration = Duration::seconds(1);

/// By then what an outage ended runs again, and the answers that it cost are no longer counted: an instance takes its counts with it.
/// Outages that are no further apart are one: the ends of the first may not have been looked at yet.
const AFTERMATH: Duration = Duration::seconds(15);

/// A stream of events that ends and begins anew is no absence yet.
const BLINK: Duration = Duration::seconds(2);

impl Default for Outage {
    fn default() -> Self {
        Self(Mutex::new(Seen {
            noticed: Instant::now(),
            answered: None,
            last: Span {
                since: DateTime::<Utc>::MIN_UTC,
                until: None,
            },
        }))
    }
}

impl Outage {
    /// The runtime does not answer any more. It has been going since its last answer: a runtime that ends in order is deaf at once, and
    /// its containers end one after the other.
    pub(crate) fn begins(&self, now: DateTime<Utc>) {
        let mut seen = self.lock();
        let since = if seen.last.is_felt(now) {
            seen.last.since
        } else {
            seen.noticed = Instant::now();
            seen.answered.map_or(now, |answered| answered.min(now))
        };
        seen.last = Span { since, until: None };
    }

    /// The runtime has answered what it was asked then.
    pub(crate) fn answers(&self, asked: DateTime<Utc>, now: DateTime<Utc>) {
        let mut seen = self.lock();
        seen.answered = Some(asked);
        seen.last.until.get_or_insert(now);
    }

    /// Whether a container is one that the outage ended. What ran out of memory did so by itself, whatever else went on.
    pub(crate) fn ended(&self, state: ContainerState) -> bool {
        let by_itself = state.exit().is_none_or(|exit| exit.oom_killed);
        !by_itself && state.finished_at().is_some_and(|at| self.explains(at))
    }

    fn explains(&self, ended: DateTime<Utc>) -> bool {
        let span = self.lock().last;
        ended + INEXACT >= span.since && span.until.is_none_or(|until| ended <= until + INEXACT)
    }

    /// Whether the runtime is away, or was until a moment ago: what it ended is not replaced yet.
    pub(crate) fn is_felt(&self, now: DateTime<Utc>) -> bool {
        self.lock().last.is_felt(now)
    }

    /// Whether the runtime is away now, and not only between two of its answers.
    pub(crate) fn goes_on(&self, now: DateTime<Utc>) -> bool {
        let seen = self.lock();
        seen.last.until.is_none() && seen.answered.is_none_or(|answered| answered + BLINK < now)
    }

    /// How long ago the last outage was noticed.
    pub(crate) fn age(&self) -> std::time::Duration {
        self.lock().noticed.elapsed()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use windlass_runtime::Exit;

    use super::*;

    #[test]
    fn what_ended_while_the_runtime_was_away_did_not_end_by_itself() {
        let (outage, start) = (Outage::default(), Utc::now());
        let at = |seconds| start + Duration::seconds(seconds);
        outage.answers(at(-60), at(-60));
        assert!(!outage.explains(start) && !outage.is_felt(start), "there was no outage");
        outage.answers(at(5), at(5));
        outage.answers(at(9), at(9));
        outage.begins(at(12));
        assert!(
            !outage.goes_on(at(11)) && outage.goes_on(at(12)),
            "that was long enough"
        );
        // It is tried again and again.
        outage.begins(at(13));
        assert!(outage.explains(at(9)) && outage.explains(at(13)), "it goes on");
        assert!(outage.is_felt(at(19)));
        outage.answers(at(20), at(20));
        outage.answers(at(30), at(30));
        assert!(outage.is_felt(at(35)) && !outage.is_felt(at(36)));
        let explained = [7, 9, 20, 25].map(|seconds| outage.explains(at(seconds)));
        assert_eq!(explained, [false, true, true, false]);
        outage.begins(at(34));
        outage.answers(at(36), at(37));
        assert!(
            outage.explains(at(13)) && outage.explains(at(37)),
            "a second one soon after is the same"
        );
        let exited = |code, oom_killed| ContainerState::Exited {
            exit: Exit { code, oom_killed },
            finished_at: Some(at(15)),
        };
        assert!(outage.ended(exited(137, false)) && outage.ended(exited(0, false)));
        assert!(!outage.ended(exited(137, true)), "that was its own doing");
        assert!(!outage.ended(ContainerState::Running) && !outage.ended(ContainerState::Dead));
        outage.begins(at(60));
        assert!(
            !outage.explains(at(15)) && outage.explains(at(61)),
            "the last one counts"
        );
    }

    #[test]
    fn what_ended_before_anybody_looked_did_not_end_by_itself() {
        let (outage, start) = (Outage::default(), Utc::now());
        let at = |seconds| start + Duration::seconds(seconds);
        assert!(
            outage.explains(at(-3600)) && outage.is_felt(start),
            "nobody has looked yet"
        );
        assert!(outage.goes_on(start));
        // Docker is away when the engine starts, too.
        outage.begins(at(1));
        outage.answers(at(4), at(4));
        assert!(!outage.goes_on(at(4)));
        assert!(outage.explains(at(-3600)) && outage.explains(at(4)));
        assert!(!outage.explains(at(6)), "that was seen to end");
        assert!(outage.is_felt(at(19)) && !outage.is_felt(at(20)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_as_old_as_its_being_noticed() {
        let (outage, start) = (Outage::default(), Utc::now());
        let minute = std::time::Duration::from_secs(60);
        tokio::time::advance(minute).await;
        assert_eq!(outage.age(), minute, "nobody knows what was before");
        outage.answers(start, start);
        let later = start + Duration::hours(9);
        outage.begins(later);
        assert_eq!(outage.age(), std::time::Duration::ZERO, "whatever the clock says");
        tokio::time::advance(minute).await;
        outage.begins(later + Duration::hours(9));
        assert_eq!(outage.age(), minute, "it is the same one");
    }
}
