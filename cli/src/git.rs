//! The user's own `git`, always called with an argument vector.

use std::{
    io,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::error::CliError;

/// A remote of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its name.
    pub name: String,
    /// Where it fetches from.
    pub url: String,
}

/// Runs git in a directory and captures what it says.
pub fn run(directory: &Path, args: &[&str]) -> io::Result<Output> {
    Command::new("git")
        .current_dir(directory)
        .args(args)
        .stdin(Stdio::null())
        .output()
}

/// Runs git and answers with its stdout, without the line end; none if it fails or is not installed.
pub fn ask(directory: &Path, args: &[&str]) -> Option<String> {
    let output = run(directory, args).ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim_end_matches('\n').to_owned())
}

/// Runs git for its effect.
pub fn must(directory: &Path, args: &[&str]) -> Result<(), CliError> {
    let output = run(directory, args).map_err(not_started)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(CliError::failure(format!(
        "git {}: {}",
        args.first().unwrap_or(&""),
        said.trim()
    )))
}

/// Git itself is missing.
pub fn not_started(error: io::Error) -> CliError {
    CliError::failure(format!("git cannot be started: {error}")).next("install git and make sure that it is in PATH")
}

/// Whether the directory belongs to a work tree.
pub fn in_work_tree(directory: &Path) -> bool {
    ask(directory, &["rev-parse", "--is-inside-work-tree"]).as_deref() == Some("true")
}

/// The remotes of the repository; none outside of one.
pub fn remotes(directory: &Path) -> Vec<Remote> {
    let listed = ask(directory, &["config", "-z", "--get-regexp", r"^remote\..*\.url$"]).unwrap_or_default();
    listed.split('\0').filter_map(remote).collect()
}

fn remote(entry: &str) -> Option<Remote> {
    let (key, url) = entry.split_once('\n')?;
    let name = key.strip_prefix("remote.")?.strip_suffix(".url")?;
    Some(Remote {
        name: name.to_owned(),
        url: url.to_owned(),
    })
}

/// The commit of HEAD.
pub fn head(directory: &Path) -> Option<String> {
    ask(directory, &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])
}

/// How many files differ from HEAD or are new and not ignored.
pub fn uncommitted(directory: &Path) -> usize {
    ask(directory, &["status", "--porcelain"]).map_or(0, |status| status.lines().count())
}
