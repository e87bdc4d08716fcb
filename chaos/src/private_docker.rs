//! A dockerd of our own, to be killed: its own folders, its own socket, no rules in the machine's firewall.
//!
//! Containers are reached from the host over their bridges, which needs neither iptables nor a default bridge; builds without `RUN` need
//! no network at all.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, Signal, kill_process},
};
use tempfile::TempDir;
use windlass_testkit::docker::program;

use crate::{machine, world::DockerEye};

/// How long it may take to start: without live-restore it first ends the containers of its predecessor.
const STARTING: Duration = Duration::from_secs(60);
/// How long it may take to end in order.
const ENDING: Duration = Duration::from_secs(40);

/// A running dockerd, or one that was killed. Dropping it removes whatever it had.
#[derive(Debug)]
pub struct PrivateDocker {
    process: Option<Child>,
    live_restore: bool,
    data_root: PathBuf,
    folder: TempDir,
    bridge: Bridge,
}

impl PrivateDocker {
    /// Starts one with its data in a folder of its own.
    ///
    /// # Errors
    /// When it does not answer in time; the end of its log is in the message.
    pub async fn start(live_restore: bool) -> anyhow::Result<Self> {
        Self::start_on(live_restore, None).await
    }

    /// As [`Self::start`], with its data in this folder.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_on(live_restore: bool, data_root: Option<&Path>) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("chaos-dockerd-").tempdir_in("/tmp")?;
        let mut docker = Self {
            process: None,
            live_restore,
            data_root: data_root.map_or_else(|| folder.path().join("data"), Path::to_owned),
            folder,
            bridge: Bridge::take()?,
        };
        docker.start_again().await?;
        Ok(docker)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    /// Its process id; 0 when it does not run.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Child::id)
    }

    /// Its own command line.
    pub fn eye(&self) -> DockerEye {
        DockerEye { host: Some(self.url()) }
    }

    /// Where everything of it lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The interfaces of its networks, which a boot takes away.
    pub fn bridges(&self) -> Vec<String> {
        let list = [
            "network",
            "ls",
            "-q",
            "--filter",
            "driver=bridge",
            "--filter",
            "type=custom",
        ];
        let ids = self.eye().run(&list).unwrap_or_default();
        ids.iter().map(|id| format!("br-{id}")).collect()
    }

    /// Loses what a machine does not have any more after a boot: mounts, interfaces, and all that lies in `/run`. It must be dead.
    pub fn lose_memory(&self, bridges: &[String]) {
        machine::unmount_below(self.folder());
        let own = self.bridge.name();
        bridges
            .iter()
            .chain([&own])
            .for_each(|name| machine::remove_interface(name));
        let _ = fs::remove_dir_all(self.path("exec"));
        for file in ["docker.sock", "pid"] {
            let _ = fs::remove_file(self.path(file));
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Brings an image of the machine's own Docker into it.
    ///
    /// # Errors
    /// When either refuses.
    pub fn load(&self, image: &str) -> anyhow::Result<()> {
        let mut save = Command::new(program())
            .args(["save", image])
            .stdout(Stdio::piped())
            .spawn()?;
        let image = save.stdout.take().context("a pipe was asked for")?;
        let load = Command::new(program())
            .args(["-H", &self.url(), "load", "-q"])
            .stdin(image)
            .output()?;
        ensure!(
            save.wait()?.success() && load.status.success(),
            "{}",
            String::from_utf8_lossy(&load.stderr)
        );
        Ok(())
    }

    /// Kills it as a crash would. Its containers are left to themselves.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        // A new one would take the numbers in these for living processes.
        for pid_file in ["pid", "exec/containerd/containerd.pid"] {
            let _ = fs::remove_file(self.path(pid_file));
        }
    }

    /// Lets it answer nothing from now on, until it is killed.
    pub fn stand_still(&self) {
        if let Some(pid) = Pid::from_raw(self.pid().cast_signed()) {
            let _ = kill_process(pid, Signal::STOP);
        }
    }

    /// Starts it, and gives the time until it answered.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_again(&mut self) -> anyhow::Result<Duration> {
        self.kill9();
        self.bridge.make()?;
        let start = Instant::now();
        let log = File::options().create(true).append(true).open(self.path("log"))?;
        let process = Command::new("dockerd")
            .arg("--data-root")
            .arg(&self.data_root)
            .arg("--exec-root")
            .arg(self.path("exec"))
            .arg("--pidfile")
            .arg(self.path("pid"))
            .args([
                "-H",
                &self.url(),
                // Not `none`: that would delete the default bridge of the machine's own Docker.
                &format!("--bridge={}", self.bridge.name()),
                "--iptables=false",
                "--ip6tables=false",
            ])
            .arg(format!("--live-restore={}", self.live_restore))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("dockerd cannot be started")?;
        self.process = Some(process);
        while !self.answers().await {
            let ended = self
                .process
                .as_mut()
                .is_none_or(|process| matches!(process.try_wait(), Ok(Some(_))));
            ensure!(
                !ended && start.elapsed() < STARTING,
                "dockerd does not answer: {}",
                self.end_of_log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(start.elapsed())
    }

    async fn answers(&self) -> bool {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let asked = async {
            let mut stream = tokio::net::UnixStream::connect(self.path("docker.sock")).await?;
            stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n").await?;
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await?;
            std::io::Result::Ok(answer.ends_with(b"200"))
        };
        let asked = tokio::time::timeout(Duration::from_secs(2), asked).await;
        asked.is_ok_and(|answer| answer.unwrap_or(false))
    }

    fn end_of_log(&self) -> String {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    /// Removes all containers and networks; bridges would outlive the daemon.
    fn empty(&self) {
        let eye = self.eye();
        for (list, remove) in [
            (&["ps", "-aq"][..], &["rm", "-f"][..]),
            (&["network", "ls", "-q", "--filter", "type=custom"], &["network", "rm"]),
        ] {
            let ids = eye.run(list).unwrap_or_default();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            if !ids.is_empty() {
                let _ = eye.run(&[remove, &ids].concat());
            }
        }
    }

    /// Ends it in order, as `systemctl restart docker` does: without live-restore it stops its containers first.
    pub fn end(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        if let Some(pid) = Pid::from_raw(process.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + ENDING;
        while Instant::now() < deadline && matches!(process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// The default bridge of a private daemon; nothing is attached to it. Its number, and with it its addresses, is this daemon's alone,
/// across processes: the lock is the kernel's, and goes with the process.
#[derive(Debug)]
struct Bridge {
    number: u8,
    _lock: File,
}

impl Bridge {
    /// Takes the first number that nobody has.
    fn take() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join("windlass-testkit");
        fs::create_dir_all(&folder)?;
        let mut taken = (1..=250).filter_map(|number| {
            let lock = File::create(folder.join(format!("bridge-{number}.lock"))).ok()?;
            flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
            Some(Self { number, _lock: lock })
        });
        taken.next().context("250 private daemons run already")
    }

    fn name(&self) -> String {
        format!("wlc{}", self.number)
    }

    /// Makes it, unless it is there; a predecessor that was killed left it as it has to be.
    fn make(&self) -> anyhow::Result<()> {
        let name = self.name();
        if Path::new("/sys/class/net").join(&name).exists() {
            return Ok(());
        }
        let address = format!("10.251.{}.1/24", self.number);
        for args in [
            &["link", "add", "name", &name, "type", "bridge"][..],
            &["address", "add", &address, "dev", &name],
        ] {
            let made = Command::new("ip").args(args).output().context("`ip` cannot be run")?;
            ensure!(
                made.status.success(),
                "ip {args:?}: {}",
                String::from_utf8_lossy(&made.stderr)
            );
        }
        Ok(())
    }
}

impl Drop for PrivateDocker {
    fn drop(&mut self) {
        self.empty();
        self.end();
        let _ = Command::new("ip")
            .args(["link", "del", &self.bridge.name()])
            .stderr(Stdio::null())
            .status();
        // Docker binds its data folder onto itself.
        for mounted in [self.data_root.clone(), self.path("exec/netns/default")] {
            let _ = Command::new("umount")
                .arg("-l")
                .arg(mounted)
                .stderr(Stdio::null())
                .status();
        }
    }
}
