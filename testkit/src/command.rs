//! Programs with their arguments, run to their end.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

/// How long any program may take before the test gives up.
const DEADLINE: Duration = Duration::from_secs(300);

/// What a program said, and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Whether it exited with 0.
    pub ok: bool,
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Both outputs, one after the other.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// The standard output without the white space around it.
    ///
    /// # Panics
    /// When the program failed.
    pub fn must_succeed(self) -> String {
        assert!(self.ok, "exit {:?}\n{}", self.code, self.text());
        self.stdout.trim().to_owned()
    }
}

/// Runs a program and collects what it says.
///
/// # Panics
/// When it cannot be started, or does not end within five minutes.
pub async fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ended = timeout(DEADLINE, command.output())
        .await
        .unwrap_or_else(|_| panic!("no end within {DEADLINE:?}: {command:?}"));
    let output = ended.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    Output {
        ok: output.status.success(),
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a program in a directory.
///
/// # Panics
/// As [`run`].
pub async fn run_in(directory: &Path, program: &str, args: &[&str]) -> Output {
    run(Command::new(program).args(args).current_dir(directory)).await
}
