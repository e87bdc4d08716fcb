//! How long a crashed process waits before it is started again.

use chrono::{DateTime, Duration, Utc};

use crate::Crash;

/// Whoever ran this long starts afresh: what crashed before it is forgotten. How long a crash has been over does not count, because
/// most of that time was spent waiting.
const AFRESH: Duration = Duration::minutes(10);

/// Who was healthy for so long is no sign of a crash loop, the first time that it ends.
const SETTLED: Duration = Duration::seconds(30);

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
pub(crate) fn not_before(crashes: &[Crash], quantity: u32, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let ran_long = crashes.iter().filter(|crash| crash.ran >= AFRESH);
    let since = ran_long.map(|crash| crash.at).max();
    let counted = || {
        crashes
            .iter()
            .filter(|crash| since.is_none_or(|since| crash.at >= since))
    };
    let last = counted().map(|crash| crash.at).max()?;
    let rounds = u32::try_from(counted().count())
        .unwrap_or(u32::MAX)
        .div_ceil(quantity.max(1));
    if rounds == 1 && counted().all(|crash| crash.healthy_for >= SETTLED) {
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

    fn crash(at: DateTime<Utc>, ran: Duration) -> Crash {
        Crash {
            release: ReleaseId::from_uuid(uuid::Uuid::nil()),
            process: ProcessType::web(),
            restart_seq: 0,
            at,
            ran,
            healthy_for: ran,
        }
    }

    const BRIEFLY: Duration = Duration::seconds(1);
    const LONG: Duration = Duration::minutes(10);

    #[test]
    fn whoever_ran_long_starts_afresh() {
        let now = Utc::now();
        let mut crashes = vec![crash(now - Duration::minutes(30), BRIEFLY); 5];
        crashes.push(crash(now, LONG));
        assert_eq!(not_before(&crashes, 1, now), None, "it ends for the first time");
        crashes.push(crash(now, BRIEFLY));
        assert_eq!(not_before(&crashes, 1, now), Some(now + Duration::seconds(2)));
    }

    #[test]
    fn what_crashes_at_every_start_waits_five_minutes_for_ever() {
        let mut now = Utc::now();
        let mut crashes = Vec::new();
        let mut pauses = Vec::new();
        for _ in 0..30 {
            crashes.push(crash(now, BRIEFLY));
            let at = not_before(&crashes, 1, now).unwrap();
            pauses.push((at - now).num_seconds());
            now = at;
        }
        assert_eq!(pauses[..10], [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert!(pauses[10..].iter().all(|pause| *pause == 300), "{pauses:?}");
    }

    #[test]
    fn ten_instances_that_end_together_wait_one_second() {
        let now = Utc::now();
        let all = vec![crash(now, BRIEFLY); 10];
        assert_eq!(not_before(&all, 10, now), Some(now + Duration::seconds(1)));
    }

    #[test]
    fn what_ran_well_is_started_again_at_once_but_only_once() {
        let now = Utc::now();
        let both = vec![crash(now, SETTLED); 2];
        assert_eq!(not_before(&both[..1], 1, now), None);
        assert_eq!(not_before(&both, 2, now), None, "both of two");
        assert_eq!(not_before(&both, 1, now), Some(now + Duration::seconds(2)));
    }
}
