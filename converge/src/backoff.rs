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

/// Empty places that may not be filled yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause {
    /// How many.
    pub(crate) places: usize,
    /// When the first of them may be.
    pub(crate) until: DateTime<Utc>,
}

/// Which of the empty places of a process with these crashes have to wait. Instances that end together (a reboot ends all of them)
/// count as one crash: it is the rounds of crashes that tell a broken app. The first end of one that had run well is followed
/// by a start at once. Each place has a pause of its own, which a sibling's later end does not prolong.
pub(crate) fn pause(crashes: &[Crash], quantity: u32, empty: usize, now: DateTime<Utc>) -> Option<Pause> {
    let ran_long = crashes.iter().filter(|crash| crash.ran >= AFRESH);
    let since = ran_long.map(|crash| crash.at).max();
    let counted = || {
        crashes
            .iter()
            .filter(|crash| since.is_none_or(|since| crash.at >= since))
    };
    let mut ends: Vec<_> = counted().map(|crash| crash.at).collect();
    ends.sort_unstable_by(|one, other| other.cmp(one));
    let rounds = |ends: usize| u32::try_from(ends).unwrap_or(u32::MAX).div_ceil(quantity.max(1));
    if rounds(ends.len()) == 1 && counted().all(|crash| crash.healthy_for >= SETTLED) {
        return None;
    }
    // Of who ended earlier than that many, the places are taken again. What ended later says nothing of a pause that went on.
    let newest = ends.iter().enumerate().take(empty);
    let waits = newest.map(|(later, at)| *at + restart_delay(rounds(ends.len() - later)));
    let waits: Vec<_> = waits.filter(|until| *until > now).collect();
    Some(Pause {
        places: waits.len(),
        until: waits.into_iter().min()?,
    })
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

    /// When all of the places may be filled.
    fn until(crashes: &[Crash], quantity: u32, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let empty = quantity as usize;
        let pause = pause(crashes, quantity, empty, now)?;
        assert_eq!(pause.places, empty);
        Some(pause.until)
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
        assert_eq!(until(&crashes, 1, now), None, "it ends for the first time");
        crashes.push(crash(now, BRIEFLY));
        assert_eq!(until(&crashes, 1, now), Some(now + Duration::seconds(2)));
    }

    #[test]
    fn what_crashes_at_every_start_waits_five_minutes_for_ever() {
        let mut now = Utc::now();
        let mut crashes = Vec::new();
        let mut pauses = Vec::new();
        for _ in 0..30 {
            crashes.push(crash(now, BRIEFLY));
            let at = until(&crashes, 1, now).unwrap();
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
        assert_eq!(until(&all, 10, now), Some(now + Duration::seconds(1)));
    }

    #[test]
    fn what_ran_well_is_started_again_at_once_but_only_once() {
        let now = Utc::now();
        let both = vec![crash(now, SETTLED); 2];
        assert_eq!(until(&both[..1], 1, now), None);
        assert_eq!(until(&both, 2, now), None, "both of two");
        assert_eq!(until(&both, 1, now), Some(now + Duration::seconds(2)));
    }

    #[test]
    fn an_end_does_not_prolong_the_pause_of_a_sibling() {
        let now = Utc::now();
        let at = |seconds| now + Duration::seconds(seconds);
        let mut crashes = vec![crash(at(-1000), BRIEFLY); 30];
        crashes.extend([0, 100, 200].map(|second| crash(at(second), Duration::seconds(100))));
        let pause = |empty, second| pause(&crashes, 3, empty, at(second)).map(|pause| (pause.places, pause.until));
        assert_eq!(pause(3, 201), Some((3, at(300))));
        assert_eq!(pause(3, 300), Some((2, at(400))), "the first place");
        assert_eq!(pause(2, 300), Some((2, at(400))), "it is filled");
        assert_eq!(pause(2, 400), Some((1, at(500))));
        assert_eq!(pause(1, 500), None);
        assert_eq!(pause(5, 201), Some((3, at(300))), "two more are wanted now");
        assert_eq!(pause(0, 201), None);
    }

    #[test]
    fn an_end_that_makes_pauses_longer_does_not_prolong_one_that_goes_on() {
        let now = Utc::now();
        let at = |seconds| now + Duration::seconds(seconds);
        let mut crashes = vec![crash(at(-1000), BRIEFLY); 15];
        crashes.extend([0, 100].map(|second| crash(at(second), BRIEFLY)));
        let pause = |empty, second| pause(&crashes, 2, empty, at(second)).map(|pause| (pause.places, pause.until));
        assert_eq!(pause(2, 101), Some((2, at(128))));
        assert_eq!(pause(2, 128), Some((1, at(100 + 256))));
    }
}
