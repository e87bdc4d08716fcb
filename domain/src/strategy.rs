//! How a release takes the place of the one before it, and what is watched afterwards.

use serde::{Deserialize, Serialize};

/// How new instances take the place of old ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// A few at a time: as each new instance becomes healthy it takes requests, and an old one goes. Never fewer instances than
    /// wanted, and a quarter more at most (one more at least).
    #[default]
    Rolling,
    /// All new instances beside all old ones; requests move over at one stroke.
    BlueGreen,
    /// All old instances end before the first new one starts: for apps of which two must never run at once. Nothing answers
    /// meanwhile.
    Recreate,
}

impl Strategy {
    /// All strategies.
    pub const ALL: [Self; 3] = [Self::Rolling, Self::BlueGreen, Self::Recreate];

    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rolling => "rolling",
            Self::BlueGreen => "blue_green",
            Self::Recreate => "recreate",
        }
    }

    /// How many instances beyond the wanted number may run while a release of so many instances takes over.
    pub fn surge(self, quantity: u32) -> u32 {
        match self {
            Self::Rolling => (quantity / 4).max(1),
            Self::BlueGreen => quantity,
            Self::Recreate => 0,
        }
    }
}

/// For a while after it went live, a release that does badly is rolled back by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Watch {
    /// How long, in seconds; 0: not at all.
    pub seconds: u32,
    /// So many ends of its instances are too many; all instances of a process type at once are one end.
    pub crashes: u32,
    /// So many answers of a hundred with a status of 500 or more are too many, once there are `min_requests`.
    pub error_percent: u32,
    /// Answers before their statuses are judged.
    pub min_requests: u32,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            seconds: 60,
            crashes: 2,
            error_percent: 50,
            min_requests: 20,
        }
    }
}

/// What a release did since it went live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record {
    /// Ends of instances that should have gone on, in rounds of all of them.
    pub crashes: u32,
    /// Requests answered.
    pub answered: u64,
    /// How many of them failed: a status of 500 or more, or no answer.
    pub failed: u64,
}

impl Watch {
    /// Why a release with this record is rolled back; none: it may stay.
    pub fn verdict(&self, record: Record) -> Option<String> {
        if self.seconds == 0 {
            return None;
        }
        if record.crashes >= self.crashes.max(1) {
            let times = if record.crashes == 1 {
                "once"
            } else {
                &format!("{} times", record.crashes)
            };
            return Some(format!("it ended {times} within {} s of going live", self.seconds));
        }
        let enough = record.answered >= u64::from(self.min_requests.max(1));
        let too_many = record.failed * 100 >= record.answered * u64::from(self.error_percent);
        (enough && too_many && record.failed > 0).then(|| {
            format!(
                "{} of its {} answers had a status of 500 or more, or were none at all",
                record.failed, record.answered
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(crashes: u32, answered: u64, failed: u64) -> bool {
        let record = Record {
            crashes,
            answered,
            failed,
        };
        Watch::default().verdict(record).is_some()
    }

    #[test]
    fn crashes_and_errors_above_the_threshold_are_told() {
        assert!(!verdict(0, 0, 0) && !verdict(1, 0, 0));
        assert!(verdict(2, 0, 0));
        assert!(!verdict(0, 19, 19), "too few to judge");
        assert!(verdict(0, 20, 10));
        assert!(!verdict(0, 1000, 499));
    }

    #[test]
    fn nothing_is_rolled_back_without_a_window() {
        let off = Watch {
            seconds: 0,
            ..Watch::default()
        };
        let worst = Record {
            crashes: 100,
            answered: 100,
            failed: 100,
        };
        assert_eq!(off.verdict(worst), None);
    }

    #[test]
    fn a_release_without_errors_is_kept_however_low_the_threshold() {
        let strict = Watch {
            error_percent: 0,
            min_requests: 0,
            ..Watch::default()
        };
        assert_eq!(
            strict.verdict(Record {
                answered: 100,
                ..Record::default()
            }),
            None
        );
        assert_eq!(strict.verdict(Record::default()), None);
    }

    #[test]
    fn a_surge_is_a_quarter_and_one_at_least() {
        let surges: Vec<_> = [1, 4, 8].map(|n| Strategy::Rolling.surge(n)).into();
        assert_eq!(surges, [1, 1, 2]);
        assert_eq!((Strategy::BlueGreen.surge(3), Strategy::Recreate.surge(3)), (3, 0));
    }
}
