//! Whether the things that the engine needs are there. Which things those are, the engine knows.

use async_trait::async_trait;
use windlass_api_types::{ReadinessCheck, Verdict};

/// What was found of one dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The dependency, such as `postgres`.
    pub name: String,
    /// Whether it is there.
    pub ok: bool,
    /// What was found, in a line.
    pub detail: Option<String>,
    /// Milliseconds that the check took.
    pub millis: u64,
}

/// Looks at each dependency, for `/readyz`. It must answer within a few seconds whatever is broken.
#[async_trait]
pub trait ReadinessChecks: Send + Sync {
    /// All dependencies as they are now.
    async fn check(&self) -> Vec<Check>;
}

impl From<Check> for ReadinessCheck {
    fn from(check: Check) -> Self {
        let status = if check.ok { Verdict::Ok } else { Verdict::Failing };
        Self {
            name: check.name,
            status,
            detail: check.detail.unwrap_or_else(|| "ok".to_owned()),
            millis: check.millis,
        }
    }
}
