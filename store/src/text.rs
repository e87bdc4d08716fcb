//! Text that Postgres can keep: it refuses the NUL character, in texts as in JSON. Output of builds and messages of commits
//! hold whatever their authors like, and a refused line must never keep a deployment from ending.

use windlass_domain::Failure;

/// The text without NUL characters.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "")
}

/// The failure without NUL characters.
pub(crate) fn storable_failure(failure: &Failure) -> Failure {
    Failure {
        code: failure.code,
        reason: storable(&failure.reason),
        evidence: failure.evidence.iter().map(|line| storable(line)).collect(),
        next_step: storable(&failure.next_step),
    }
}
