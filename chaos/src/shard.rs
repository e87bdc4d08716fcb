//! A share of the trials, so that several processes go through all of them side by side.
//!
//! Each process enumerates for itself, and loops that run beside an operation make the enumerations differ a little. So a trial belongs
//! to a share by what it is, not by its place in a list: whatever any process enumerates falls to the same share in all of them.

use std::str::FromStr;

use crate::point::{Point, Side};

/// The K-th of N shares, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: u64,
    of: u64,
}

impl Default for Shard {
    fn default() -> Self {
        Self { number: 1, of: 1 }
    }
}

impl Shard {
    /// Whether a boundary of a kind of operation is of this share.
    pub fn takes(self, kind: &str, point: &Point, side: Side) -> bool {
        let name = format!("{kind}\n{}\n{}\n{side:?}", point.what, point.occurrence);
        hash(name.as_bytes()) % self.of == self.number - 1
    }

    /// Whether a round that only chance decides about is of this share.
    pub fn takes_round(self, round: u64) -> bool {
        round % self.of == self.number - 1
    }

    /// How it is asked for on the command line, with a space in front; nothing for the only share.
    pub fn option(self) -> String {
        if self.of == 1 {
            String::new()
        } else {
            format!(" --shard {self}")
        }
    }

    /// What tells its files from those of the other shares.
    pub fn suffix(self) -> String {
        if self.of == 1 {
            String::new()
        } else {
            format!("-{}-of-{}", self.number, self.of)
        }
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text
            .split_once('/')
            .and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parsed {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err("a share is K/N with K from 1 to N, such as 2/4".to_owned()),
        }
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// FNV-1a with SplitMix64's finish, whose low bits are good enough to divide by: the same on every machine and in every version.
fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(n: u32) -> Point {
        Point {
            what: format!("commit {}", n / 3),
            occurrence: n % 3 + 1,
        }
    }

    #[test]
    fn each_boundary_and_each_round_belongs_to_one_share() {
        let shards: Vec<Shard> = (1..=4).map(|k| format!("{k}/4").parse().unwrap()).collect();
        let mut taken = [0; 4];
        for n in 0..200 {
            for side in Side::BOTH {
                let takers: Vec<usize> = (0..4).filter(|k| shards[*k].takes("deploy", &point(n), side)).collect();
                assert_eq!(takers.len(), 1);
                taken[takers[0]] += 1;
            }
            let rounds = shards.iter().filter(|shard| shard.takes_round(u64::from(n))).count();
            assert_eq!(rounds, 1);
        }
        assert!(taken.iter().all(|count| (60..140).contains(count)), "{taken:?}");
    }

    #[test]
    fn the_only_share_takes_everything() {
        assert!(Shard::default().takes("push", &point(5), Side::After) && Shard::default().takes_round(7));
        assert_eq!(Shard::default().suffix(), "");
    }

    #[test]
    fn a_share_that_does_not_exist_is_refused() {
        for text in ["0/4", "5/4", "1/0", "2", "a/b", ""] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        assert_eq!("2/4".parse::<Shard>().unwrap().suffix(), "-2-of-4");
    }
}
