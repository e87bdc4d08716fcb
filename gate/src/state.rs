//! What is written into a gate's folder: the one thing that the engine and the program inside the container share.

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Whether the container takes requests.
    pub open: bool,
    /// Whether the runtime has been seen to know that. The program then has nothing to report until this changes.
    pub told: bool,
}

impl State {
    /// The words in the file.
    pub const fn words(self) -> &'static str {
        match (self.open, self.told) {
            (true, true) => "open told",
            (true, false) => "open",
            (false, true) => "closed told",
            (false, false) => "closed",
        }
    }

    /// Reads the words back; none for anything else.
    pub fn read(words: &str) -> Option<Self> {
        [(true, true), (true, false), (false, true), (false, false)]
            .map(|(open, told)| Self { open, told })
            .into_iter()
            .find(|state| state.words() == words)
    }
}
