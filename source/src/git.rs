//! Starting git: always with an argument vector, an empty environment and settings of our own, so that neither the machine's
//! configuration nor a repository's can change what git does.

use std::{
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::{Pid, Signal};
use tokio::{
    io::AsyncReadExt,
    process::{Child, ChildStderr, Command},
    sync::OwnedMutexGuard,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use windlass_domain::AppId;

/// How long git may take to clean up when it is asked to end.
const GRACE: Duration = Duration::from_secs(2);

/// Where git finds its helpers (`ssh`). Fixed, because the environment is read by the engine alone.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Settings of every git process; the command line is git's strongest scope, and children inherit it.
/// - hooks are off unless a push turns ours on;
/// - an acknowledged push is on disk: one flush for all loose objects of a push instead of one for each;
/// - large blobs are streamed, which bounds memory;
/// - old commits with harmless flaws, which public repositories are full of, pass the check that hostile objects do not.
const SETTINGS: [&str; 17] = [
    "core.hooksPath=/dev/null",
    "core.fsync=committed",
    "core.fsyncMethod=batch",
    "core.bigFileThreshold=32m",
    "credential.helper=",
    "fetch.fsck.badTimezone=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.fsck.zeroPaddedFilemode=ignore",
    "gc.auto=0",
    "init.defaultBranch=main",
    "maintenance.auto=false",
    "protocol.allow=never",
    "receive.fsck.badTimezone=ignore",
    "receive.fsck.missingSpaceBeforeDate=ignore",
    "receive.fsck.zeroPaddedFilemode=ignore",
    "transfer.fsckObjects=true",
    "transfer.hideRefs=refs/windlass",
];

/// A fault of ours or of the machine while working on a repository.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file system or the start of a process failed.
    #[error("cannot {action}")]
    Io {
        /// What was tried, as in "cannot create the repository".
        action: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Git itself refused; `stderr` is the end of what it said.
    #[error("git cannot {action}: {stderr}")]
    Git {
        /// What was tried.
        action: &'static str,
        /// The last lines of git's complaint.
        stderr: String,
    },
    /// A repository cannot be read.
    #[error("cannot read the repository")]
    Read(#[from] git2::Error),
    /// The app has no repository.
    #[error("the app {0} has no repository")]
    NoRepository(AppId),
}

impl SourceError {
    /// For `map_err`: what was tried when an input or output error came.
    pub(crate) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}

/// How to start git.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    program: PathBuf,
    home: PathBuf,
}

impl Git {
    /// `home` is an empty folder.
    pub(crate) fn new(program: PathBuf, home: PathBuf) -> Self {
        Self { program, home }
    }

    /// A git process in a process group of its own, so that a signal to the engine's terminal does not reach it and so that it
    /// can be ended together with its children.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PATH", SEARCH_PATH)
            .env("HOME", &self.home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command
    }

    /// A git process that works on the repository in `dir`.
    pub(crate) fn in_repository(&self, dir: &Path) -> Command {
        let mut command = self.command();
        command.arg("-c").arg(joined("safe.directory=", dir));
        command.arg(joined("--git-dir=", dir));
        command
    }

    /// Runs to the end; what git printed, or its complaint. It gets to its end also when nobody waits for it any more: it is short, and
    /// a git that is ended in the middle may leave a lock file behind, for which the next one is refused.
    pub(crate) async fn run(&self, mut command: Command, action: &'static str) -> Result<Vec<u8>, SourceError> {
        let output = command.output().await.map_err(SourceError::io(action))?;
        judge(output.status, &output.stderr, action).map(|()| output.stdout)
    }
}

/// The right to change a repository in a way that only one may at a time. It is given back when its last holder is gone.
pub(crate) type Turn = Arc<OwnedMutexGuard<()>>;

/// A git that takes its time. When nobody waits for it any more, as when a deployment is cancelled, it is asked to end, and killed if
/// it does not. It holds its turn until it is gone.
pub(crate) struct Running {
    /// What it complains of, if that is not read yet.
    pub(crate) stderr: Option<ChildStderr>,
    ended: JoinHandle<io::Result<ExitStatus>>,
    wanted: DropGuard,
}

impl Running {
    /// Starts git; nobody reads its output.
    pub(crate) fn start(mut command: Command, turn: Turn) -> Result<Self, SourceError> {
        let mut child = command
            .stdout(Stdio::null())
            .spawn()
            .map_err(SourceError::io("start git"))?;
        let unwanted = CancellationToken::new();
        Ok(Self {
            stderr: child.stderr.take(),
            wanted: unwanted.clone().drop_guard(),
            ended: tokio::spawn(see_to_its_end(Asked(child), unwanted, turn)),
        })
    }

    /// Waits until it ends by itself.
    pub(crate) async fn wait(self) -> Result<ExitStatus, SourceError> {
        let ended = self.ended.await.map_err(io::Error::other).flatten();
        ended.map_err(SourceError::io("wait for git"))
    }

    /// Ends it.
    pub(crate) async fn end(self) -> Result<ExitStatus, SourceError> {
        drop(self.wanted);
        let ended = self.ended.await.map_err(io::Error::other).flatten();
        ended.map_err(SourceError::io("wait for git"))
    }

    /// Waits until it ends by itself; what it complained of is the error.
    pub(crate) async fn succeed(mut self, action: &'static str) -> Result<(), SourceError> {
        let mut said = Vec::new();
        if let Some(mut stderr) = self.stderr.take() {
            stderr
                .read_to_end(&mut said)
                .await
                .map_err(SourceError::io("listen to git"))?;
        }
        judge(self.wait().await?, &said, action)
    }
}

/// A process that is asked to end when it is forgotten: also when the engine itself ends before it was seen to its end.
struct Asked(Child);

impl Drop for Asked {
    fn drop(&mut self) {
        signal_group(&self.0, Signal::TERM);
    }
}

async fn see_to_its_end(mut git: Asked, unwanted: CancellationToken, turn: Turn) -> io::Result<ExitStatus> {
    let _turn = turn;
    tokio::select! {
        ended = git.0.wait() => return ended,
        () = unwanted.cancelled() => {}
    }
    // Git removes its lock files when it is asked rather than killed.
    signal_group(&git.0, Signal::TERM);
    match timeout(GRACE, git.0.wait()).await {
        Ok(ended) => ended,
        Err(_) => {
            kill(&git.0);
            git.0.wait().await
        }
    }
}

fn judge(status: ExitStatus, stderr: &[u8], action: &'static str) -> Result<(), SourceError> {
    if status.success() {
        return Ok(());
    }
    let stderr = tail(&String::from_utf8_lossy(stderr), 5);
    Err(SourceError::Git { action, stderr })
}

fn joined(prefix: &str, path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(prefix);
    text.push(path);
    text
}

/// The last `lines` lines, joined by `; `, without control characters.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<String> = text
        .lines()
        .map(|line| printable(line.trim()))
        .filter(|line| !line.is_empty())
        .collect();
    all[all.len().saturating_sub(lines)..].join("; ")
}

/// A line of foreign text, fit for a log: no control characters, 500 characters at most.
pub(crate) fn printable(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).take(500).collect()
}

/// Ends a process and its children at once.
pub(crate) fn kill(child: &Child) {
    signal_group(child, Signal::KILL);
}

fn signal_group(child: &Child, signal: Signal) {
    // A child that was waited for has no id any more, so that no stranger's group is ever hit.
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(group) = group {
        // It may have ended by itself in the meantime, which is as good.
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

/// Runs what blocks (libgit2, the file system) beside the async threads.
pub(crate) async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: Send + From<SourceError> + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(join) => Err(SourceError::Io {
            action: "finish a task",
            source: io::Error::other(join),
        }
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_complaint_is_short_and_printable() {
        assert_eq!(tail("a\n\n\u{1b}[31mb\nc\n", 2), "[31mb; c");
    }
}
