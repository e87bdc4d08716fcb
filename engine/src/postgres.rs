//! The embedded PostgreSQL: a private cluster in the data directory, run with the system's binaries as an unprivileged user,
//! reachable over a Unix socket only. Small in memory, but durable: what was committed survives a power cut.
//!
//! It is a child of the engine, yet outlives a killed one: the next engine finds it running and goes on with it.

mod cluster;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
pub use cluster::binaries;
use cluster::{Owner, command};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ownership::open_log;

/// How long a starting server is waited for here; one that recovers from a crash may take longer than that.
const STARTING: Duration = Duration::from_secs(10);
/// How often the engine looks whether its cluster is alive.
const WATCH: Duration = Duration::from_millis(500);

/// Small in memory (the whole cluster idles well below 60 MB), durable, and without what a single machine does not need.
const SETTINGS: [&str; 18] = [
    "listen_addresses=",
    "shared_buffers=16MB",
    "max_connections=60",
    "jit=off",
    "fsync=on",
    "synchronous_commit=on",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=256MB",
    "min_wal_size=32MB",
    "max_worker_processes=2",
    "max_logical_replication_workers=0",
    "max_parallel_workers=0",
    "autovacuum_max_workers=1",
    // Logs come and go fast: what is dead is used again before the tables have grown much.
    "autovacuum_naptime=20s",
    "huge_pages=off",
    "log_min_messages=warning",
    "timezone=UTC",
];

/// An embedded cluster that was started.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    directory: PathBuf,
    log: PathBuf,
}

impl EmbeddedPostgres {
    /// Starts the cluster below `directory`, making it at the first time; its server writes to `log`. One that runs already is
    /// adopted. It may still be recovering from a crash when this returns: whoever connects has to wait for it.
    pub async fn start(directory: &Path, log: &Path) -> anyhow::Result<Self> {
        let socket = directory.join("run/.s.PGSQL.5432");
        ensure!(
            socket.as_os_str().len() < 104,
            "the data directory's path is too long for a Unix socket ({}); use a shorter data_dir, or set database_url",
            socket.display()
        );
        let cluster = Self {
            directory: directory.to_owned(),
            log: log.to_owned(),
        };
        cluster.start_or_adopt().await?;
        Ok(cluster)
    }

    /// Starts the cluster anew whenever it has died, until shutdown. What was committed is there again afterwards.
    pub async fn supervise(&self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(WATCH) => {}
            }
            if running(&self.data()).is_some() {
                continue;
            }
            tracing::warn!("embedded PostgreSQL has died; starting it anew");
            if let Err(error) = self.start_or_adopt().await {
                tracing::error!(error = format!("{error:#}"), "embedded PostgreSQL cannot be started");
            }
        }
    }

    /// The address for the store.
    pub fn url(&self) -> String {
        url(&self.directory)
    }

    /// Stops the cluster in order (a "fast" shutdown), harder when that takes too long.
    pub async fn stop(&self) {
        let data = self.data();
        let Some(pid) = running(&data) else {
            return;
        };
        for signal in [Signal::INT, Signal::QUIT] {
            if kill_process(pid, signal).is_err() || ended(pid, &data, Duration::from_secs(8)).await {
                return;
            }
        }
        tracing::warn!("embedded PostgreSQL did not stop in time");
    }

    async fn start_or_adopt(&self) -> anyhow::Result<()> {
        let data = self.data();
        if let Some(pid) = running(&data) {
            tracing::info!(pid = pid.as_raw_nonzero().get(), "embedded PostgreSQL runs already");
            return Ok(());
        }
        let (owner, binaries) = (cluster::owner()?, binaries(&data)?);
        cluster::prepare(&self.directory, &binaries, owner).await?;
        remove_stale_locks(&self.directory)?;
        self.launch(&binaries, owner).await
    }

    async fn launch(&self, binaries: &Path, owner: Owner) -> anyhow::Result<()> {
        let log = open_log(&self.log)?;
        let mut command = command(&binaries.join("postgres"), owner);
        command
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.directory.join("run"));
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        // In a group of its own: a Ctrl-C at the terminal is for the engine, which stops PostgreSQL last.
        let mut child = command
            .process_group(0)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run postgres")?;
        let deadline = Instant::now() + STARTING;
        while !is_ready(&self.data()) && Instant::now() < deadline {
            if let Some(status) = child.try_wait()? {
                bail!("postgres ended with {status}; see {}", self.log.display());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Reaped in the background, so that a crash does not leave a zombie that looks alive.
        tokio::spawn(async move { child.wait().await });
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }
}

/// The address of the cluster below `directory`.
pub fn url(directory: &Path) -> String {
    let run = directory.join("run");
    let host: String = url::form_urlencoded::byte_serialize(run.as_os_str().as_encoded_bytes()).collect();
    format!("postgres://windlass@localhost/postgres?host={host}")
}

/// The postmaster of this cluster, if it runs. After a reboot the number in a stale `postmaster.pid` may belong to anybody, to
/// another PostgreSQL too.
fn running(data: &Path) -> Option<Pid> {
    recorded_pid(&data.join("postmaster.pid")).filter(|pid| is_postmaster(*pid, data))
}

/// Whether the server says, in the last line of its `postmaster.pid`, that it takes connections.
fn is_ready(data: &Path) -> bool {
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    running(data).is_some() && text.lines().last().is_some_and(|line| line.trim() == "ready")
}

/// The process that a lock file of PostgreSQL names in its first line.
fn recorded_pid(lock: &Path) -> Option<Pid> {
    let text = fs::read_to_string(lock).ok()?;
    Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
}

/// PostgreSQL replaces stale lock files itself, except when the process that they name lives and is of the same user: such as the
/// cluster that Debian starts after a reboot. It then takes that for a second server on its data, and does not start.
fn remove_stale_locks(directory: &Path) -> anyhow::Result<()> {
    let data = directory.join("data");
    for lock in [data.join("postmaster.pid"), directory.join("run/.s.PGSQL.5432.lock")] {
        let stale = recorded_pid(&lock).is_some_and(|pid| test_kill_process(pid).is_ok() && !is_postmaster(pid, &data));
        if stale {
            tracing::info!(lock = %lock.display(), "removing a stale lock; it does not name a server of this cluster");
            fs::remove_file(&lock).with_context(|| format!("cannot remove the stale lock {}", lock.display()))?;
        }
    }
    Ok(())
}

/// A postmaster works in its data directory all its life.
fn is_postmaster(pid: Pid, data: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let name = fs::read_to_string(process.join("comm"));
    let (cwd, data) = (fs::read_link(process.join("cwd")), fs::canonicalize(data));
    name.is_ok_and(|name| name.trim() == "postgres") && matches!((cwd, data), (Ok(cwd), Ok(data)) if cwd == data)
}

async fn ended(pid: Pid, data: &Path, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while is_postmaster(pid, data) {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in("/tmp")
            .unwrap()
    }

    #[tokio::test]
    async fn a_cluster_starts_is_adopted_and_stops() {
        let temp = folder();
        let (directory, log) = (temp.path().join("postgres"), temp.path().join("log/postgres.log"));
        let data = directory.join("data");
        let first = EmbeddedPostgres::start(&directory, &log).await.unwrap();
        let pid = running(&data);
        assert!(pid.is_some());
        let second = EmbeddedPostgres::start(&directory, &log).await.unwrap();
        assert_eq!(running(&data), pid);
        assert!(
            first
                .url()
                .starts_with("postgres://windlass@localhost/postgres?host=%2Ftmp%2F")
        );
        assert!(log.exists());
        second.stop().await;
        assert_eq!(running(&data), None);
    }

    #[tokio::test]
    async fn a_stale_lock_that_names_another_postgresql_neither_stops_that_one_nor_keeps_ours_from_starting() {
        let temp = folder();
        let log = temp.path().join("log/postgres.log");
        let (ours, other) = (temp.path().join("ours"), temp.path().join("other"));
        let cluster = EmbeddedPostgres::start(&ours, &log).await.unwrap();
        cluster.stop().await;
        let debian = EmbeddedPostgres::start(&other, &log).await.unwrap();
        let debian_pid = running(&other.join("data"));
        assert!(debian_pid.is_some());
        for lock in ["data/postmaster.pid", "run/.s.PGSQL.5432.lock"] {
            fs::copy(other.join(lock), ours.join(lock)).unwrap();
        }
        assert_eq!(running(&ours.join("data")), None);
        cluster.stop().await;
        assert_eq!(running(&other.join("data")), debian_pid);
        let cluster = EmbeddedPostgres::start(&ours, &log).await.unwrap();
        assert!(running(&ours.join("data")).is_some_and(|pid| Some(pid) != debian_pid));
        cluster.stop().await;
        debian.stop().await;
    }

    #[tokio::test]
    async fn what_a_killed_initdb_left_is_swept_away() {
        let temp = folder();
        let (directory, log) = (temp.path().join("postgres"), temp.path().join("log/postgres.log"));
        fs::create_dir_all(directory.join("data.new/base")).unwrap();
        fs::write(directory.join("data.new/PG_VERSION"), "15\n").unwrap();
        let cluster = EmbeddedPostgres::start(&directory, &log).await.unwrap();
        assert!(running(&directory.join("data")).is_some());
        assert!(!directory.join("data.new").exists());
        cluster.stop().await;
    }

    #[tokio::test]
    async fn a_link_in_the_place_of_a_folder_of_the_cluster_is_refused() {
        let temp = folder();
        let (directory, log) = (temp.path().join("postgres"), temp.path().join("log/postgres.log"));
        fs::create_dir_all(temp.path().join("target")).unwrap();
        fs::create_dir_all(&directory).unwrap();
        std::os::unix::fs::symlink(temp.path().join("target"), directory.join("run")).unwrap();
        let error = EmbeddedPostgres::start(&directory, &log).await.unwrap_err();
        assert!(format!("{error:#}").contains("symbolic link"), "{error:#}");
    }
}
