//! Each step fails once, and each step is done twice: every call to Docker and every commit is refused before it has an effect, or has
//! its effect and reports a failure.

use super::{Run, kill::at_points};
use crate::{
    point::{Action, Point},
    report::Tally,
};

/// What is refused by Docker, or done by it and reported as failed.
pub async fn docker(run: &Run) -> Tally {
    let is_docker = |point: &Point| point.what.starts_with("docker:");
    at_points(
        run,
        "each docker call fails once",
        Action::Fail,
        is_docker,
        &["deploy", "scale", "crash", "cancel", "destroy", "rollback"],
    )
    .await
}

/// A connection to Postgres that breaks before a commit, or after it and before its answer.
pub async fn commits(run: &Run) -> Tally {
    let is_commit = |point: &Point| !point.what.starts_with("docker:");
    at_points(
        run,
        "each commit fails once",
        Action::Cut,
        is_commit,
        &["deploy", "config", "crash", "cancel", "destroy", "rollback"],
    )
    .await
}
