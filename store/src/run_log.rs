//! What instances print, as it was collected. Bounded per app; survives the containers.

use chrono::{DateTime, Utc};

/// One line that an instance printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLogRow {
    /// Grows with each line; what to continue after.
    pub id: i64,
    /// When it was printed.
    pub at: DateTime<Utc>,
    /// The process type.
    pub process: String,
    /// The instance's name.
    pub instance: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// The line.
    pub text: String,
}
