//! Chance that can be repeated: the same seed gives the same schedule, on every machine and with every version of every crate.

/// SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>): tiny, good enough for schedules, and ours to keep stable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chance(u64);

impl Chance {
    /// Chance from a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Chance of its own for one trial, so that leaving trials out does not change the others.
    #[must_use]
    pub fn for_trial(seed: u64, name: &str, trial: u64) -> Self {
        let named = name.bytes().fold(seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut own = Self(named ^ trial.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        own.draw();
        own
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is at least 1.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end.max(1)
    }

    /// One of these.
    ///
    /// # Panics
    /// When there is none.
    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let at = usize::try_from(self.below(of.len() as u64)).expect("an index fits");
        &of[at]
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < u64::from(percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_for_ever() {
        let mut chance = Chance::new(7);
        assert_eq!(
            [chance.draw(), chance.draw()],
            [7_191_089_600_892_374_487, 309_689_372_594_955_804]
        );
    }

    #[test]
    fn trials_do_not_share_their_chance() {
        let first = |name, trial| Chance::for_trial(7, name, trial).draw();
        assert_ne!(first("kill", 1), first("kill", 2));
        assert_ne!(first("kill", 1), first("disk", 1));
        assert_eq!(first("kill", 1), first("kill", 1));
    }
}
