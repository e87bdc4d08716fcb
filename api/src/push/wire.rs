//! What the hook and the API say to each other: JSON, a line each.

use serde::{Deserialize, Serialize};
use windlass_source::hook::{RefUpdate, Verdict};

/// The first and only line of the hook.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) ticket: String,
    pub(crate) updates: Vec<Update>,
    pub(crate) options: Vec<String>,
}

/// A ref that the client wants to change.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Update {
    old: String,
    new: String,
    name: String,
}

/// A line of the API; a verdict is the last.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    /// To be shown to the user at once.
    Line(String),
    /// One for each update, in their order.
    Verdict(Vec<Word>),
}

/// What becomes of a ref.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    Accepted,
    FallThrough,
    Rejected(String),
}

impl From<&RefUpdate> for Update {
    fn from(update: &RefUpdate) -> Self {
        Self {
            old: update.old.clone(),
            new: update.new.clone(),
            name: update.name.clone(),
        }
    }
}

impl From<Update> for RefUpdate {
    fn from(update: Update) -> Self {
        Self {
            old: update.old,
            new: update.new,
            name: update.name,
        }
    }
}

impl From<Verdict> for Word {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Accepted => Self::Accepted,
            Verdict::FallThrough => Self::FallThrough,
            Verdict::Rejected(reason) => Self::Rejected(reason),
        }
    }
}

impl From<Word> for Verdict {
    fn from(word: Word) -> Self {
        match word {
            Word::Accepted => Self::Accepted,
            Word::FallThrough => Self::FallThrough,
            Word::Rejected(reason) => Self::Rejected(reason),
        }
    }
}
