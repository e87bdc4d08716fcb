//! The process of an engine.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// A program of the workspace, beside which (or in a directory of which) this test was built.
///
/// # Panics
/// When it is not built.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a process knows its program");
    let found = own
        .ancestors()
        .skip(1)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built; run `cargo build --workspace --bins` first"))
}

/// Stops the engine and the router of a data directory, whoever started them.
pub(crate) fn stop_all(data_dir: &Path) {
    let _ = command(data_dir).args(["stop", "--all"]).output();
}

/// `windlassd` for a data directory, with nothing of the surrounding environment that could steer it.
pub(crate) fn command(data_dir: &Path) -> Command {
    let mut command = Command::new(program("windlassd"));
    for (name, _) in std::env::vars_os() {
        let steers = name
            .to_str()
            .is_none_or(|name| name.starts_with("WINDLASS_") || name.starts_with("GIT_"));
        if steers || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command.env("WINDLASS_DATA_DIR", data_dir).stdin(Stdio::null());
    command
}

/// A running `windlassd`.
#[derive(Debug)]
pub struct Windlassd {
    child: Child,
}

impl Windlassd {
    /// Starts the engine with these arguments; its output goes to `log`.
    pub(crate) fn start(data_dir: &Path, args: &[&str], environment: &[(String, String)], log: &Path) -> Self {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("the log is writable");
        let child = command(data_dir)
            .args(args)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .expect("windlassd can be started");
        Self { child }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends it as a crash would, and waits until it is gone.
    pub fn kill9(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end; `None` when it is still there after `deadline`.
    pub fn wait(&mut self, deadline: Duration) -> Option<std::process::ExitStatus> {
        let start = Instant::now();
        while start.elapsed() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Windlassd {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.signal(Signal::TERM);
            if self.wait(Duration::from_secs(30)).is_none() {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
    }
}
