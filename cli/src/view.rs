//! The server's answers as the tables need them.
//!
//! These are views, not the API's own types: they hold only what is shown, take states as words and forgive missing fields, so
//! that this program keeps working with a newer server. `--json` never passes through them.

mod account;
mod app;
mod deployment;
mod instance;
mod log;
mod plan;
mod release;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::CliError;

pub use account::{Account, ServerFacts, Token, TokenName};
pub use app::App;
pub use deployment::{Deployment, Failure, Step};
pub use instance::{CrashLoop, Instance, why_ended};
pub use log::{DeploymentLine, LogLine};
pub use plan::{ConfigPlan, Plan, PlannedChange, PlannedConfig, PlannedProcess, PlannedScale, ScalePlan};
pub use release::{Process, Release};

/// Reads one view.
pub fn read<T: DeserializeOwned>(value: &Value) -> Result<T, CliError> {
    T::deserialize(value).map_err(|error| {
        CliError::failure(format!("the server's answer is not understood: {error}"))
            .next("this program may be too old for the server; --json shows the answer as it is")
    })
}

/// Reads a list of views.
pub fn read_all<T: DeserializeOwned>(values: &[Value]) -> Result<Vec<T>, CliError> {
    values.iter().map(read).collect()
}

/// A word of the API as people write it: `crash-looping`.
pub fn dashed(word: &str) -> String {
    word.replace('_', "-")
}

/// The first eight digits of a commit.
pub fn short_commit(commit: &str) -> String {
    commit.chars().take(8).collect()
}
