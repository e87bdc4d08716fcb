//! How long a crashed process waits before it is started again.

use chrono::{DateTime, Duration, Utc};

use crate::Crash;

/// Crashes older than this are forgotten: whoever ran this long starts afresh.
pub const CRASH_MEMORY: Duration = Duration::minutes(10);

/// 1 s after the first crash, doubling with each further one, 5 min at most. Docker's own restart policies and the kubelet follow
/// the same curve; without it a broken app would keep the machine busy with starting it.
pub fn restart_delay(recent_crashes: u32) -> Duration {
    match recent_crashes {
        0 => Duration::zero(),
        n => Duration::seconds((1_i64 << (n - 1).min(9)).min(300)),
    }
}

/// When a process with these crashes may be started again; none: now. Instances that end together (a reboot ends all of them)
/// count as one crash: it is the rounds of crashes that tell a broken app. The first end of one that had run well is followed
/// by a start at once.
pub(crate) fn not_before(crashes: &[&Crash], quantity: u32, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let recent: Vec<_> = crashes.iter().filter(|crash| now - crash.at < CRASH_MEMORY).collect();
    let last = recent.iter().map(|crash| crash.at).max()?;
    let rounds = u32::try_from(recent.len())
        .unwrap_or(u32::MAX)
        .div_ceil(quantity.max(1));
    if rounds == 1 && recent.iter().all(|crash| crash.settled) {
        return None;
    }
    let at = last + restart_delay(rounds);
    (at > now).then_some(at)
}

#[cfg(test)]
mod tests {
    use windlass_domain::{ProcessType, ReleaseId};

    use super::*;

    #[test]
    fn the_delay_doubles_up_to_five_minutes() {
        let seconds: Vec<_> = [0, 1, 2, 3, 9, 10, 1000].map(|n| restart_delay(n).num_seconds()).into();
        assert_eq!(seconds, [0, 1, 2, 4, 256, 300, 300]);
    }

    fn crash(at: DateTime<Utc>, settled: bool) -> Crash {
        Crash {
            release: ReleaseId::from_uuid(uuid::Uuid::nil()),
            process: ProcessType::web(),
            at,
            settled,
        }
    }

    #[test]
    fn old_crashes_are_forgotten() {
        let now = Utc::now();
        let old = crash(now - Duration::minutes(11), false);
        assert_eq!(not_before(&[&old], 1, now), None);
        assert_eq!(
            not_before(&[&crash(now, false)], 1, now),
            Some(now + Duration::seconds(1))
        );
    }

    #[test]
    fn ten_instances_that_end_together_wait_one_second() {
        let now = Utc::now();
        let all = vec![crash(now, false); 10];
        let all: Vec<_> = all.iter().collect();
        assert_eq!(not_before(&all, 10, now), Some(now + Duration::seconds(1)));
    }

    #[test]
    fn what_ran_well_is_started_again_at_once_but_only_once() {
        let now = Utc::now();
        let (first, second) = (crash(now, true), crash(now, true));
        assert_eq!(not_before(&[&first], 1, now), None);
        assert_eq!(not_before(&[&first, &second], 2, now), None, "both of two");
        assert_eq!(not_before(&[&first, &second], 1, now), Some(now + Duration::seconds(2)));
    }
}
