//! Why an instance did not become ready, in words that a person can act on. Pure: from what was seen to a
//! [`windlass_domain::Failure`].

mod ended;
mod hints;
mod unready;

use std::{net::SocketAddr, time::Duration};

use windlass_domain::{Failure, FailureCode, HealthCheck, Limits, ProcessType};

use crate::{Exit, NotReady, RunLogLine};

/// How many of the last lines are shown.
const LINES_SHOWN: usize = 10;

/// What was seen of an instance that did not become ready. Lines are shown as they are: clean and redact them first.
#[derive(Debug, Clone)]
pub struct Symptoms<'a> {
    /// Its process type.
    pub process: &'a ProcessType,
    /// The port that it should listen on, if any.
    pub port: Option<u16>,
    /// The sockets that it does listen on; see [`crate::Runtime::listening`].
    pub listening: &'a [SocketAddr],
    /// How it ended, if it did.
    pub exit: Option<Exit>,
    /// The last lines that it wrote, oldest first.
    pub last_lines: &'a [String],
    /// What it may use.
    pub limits: &'a Limits,
    /// How it shows that it is ready.
    pub health: &'a HealthCheck,
    /// What the last probe found.
    pub last_probe: Option<&'a NotReady>,
    /// How long it was waited for.
    pub waited: Duration,
}

/// Why the instance did not become ready.
pub fn diagnose(seen: &Symptoms<'_>) -> Failure {
    match seen.exit {
        Some(exit) => ended::ended(seen, exit),
        None => unready::unready(seen),
    }
}

/// Why a release command failed.
pub fn release_failed(exit: Exit, last_lines: &[String], limits: &Limits) -> Failure {
    let (what, next_step) = ended::explain(exit, last_lines, limits);
    let reason = format!("the release command {what}; the release that was live before still is");
    Failure::new(FailureCode::ReleaseFailed, reason, next_step)
        .with_evidence([ended::exit_evidence(exit)])
        .with_evidence(shown_lines(last_lines))
}

/// Why a command could not be executed at all: the words of [`crate::StartError::CannotExecute`].
pub fn cannot_execute(process: &ProcessType, exit: Exit, message: &str) -> Failure {
    let reason = if message.contains("find user") || message.contains("no matching entries in") {
        format!("`{process}` could not be started: the image has no such user")
    } else if message.contains("chdir to cwd") {
        format!("`{process}` could not be started: its working directory cannot be entered")
    } else if message.contains("ommand specified") {
        format!("`{process}` could not be started: the image has no command")
    } else if exit.code == 127 {
        format!("`{process}` could not be started: the image does not contain its program")
    } else {
        format!("`{process}` could not be started: its program cannot be executed")
    };
    let next_step = if exit.code == 127 {
        "compare the command with what is in the image: set CMD (or ENTRYPOINT) in the Dockerfile or the line in the Procfile to a \
         program that is there, with its full path if it is not in PATH"
    } else {
        "make the program executable (chmod +x, and commit the mode with `git update-index --chmod=+x FILE`), and give the user \
         of the image access to it"
    };
    Failure::new(FailureCode::Exited, reason, next_step).with_evidence([message.to_owned()])
}

/// The texts of lines of a log, for [`Symptoms::last_lines`].
pub fn texts(lines: &[RunLogLine]) -> Vec<String> {
    lines.iter().map(|line| line.text.clone()).collect()
}

fn shown_lines(lines: &[String]) -> Vec<String> {
    let last: Vec<&String> = lines.iter().filter(|line| !line.trim().is_empty()).collect();
    if last.is_empty() {
        return vec!["it wrote nothing to its log".to_owned()];
    }
    let from = last.len().saturating_sub(LINES_SHOWN);
    let heading = if from == 0 { "its log:" } else { "the end of its log:" };
    std::iter::once(heading.to_owned())
        .chain(last[from..].iter().map(|line| format!("  {line}")))
        .collect()
}

#[cfg(test)]
mod tests;
