//! The embedded PostgreSQL: a private cluster in the data directory, run with the system's binaries as an unprivileged user,
//! reachable over a Unix socket only. Small in memory, but durable: what was committed survives a power cut.
//!
//! It is a child of the engine, yet outlives a killed one: the next engine finds it running and goes on with it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::{process::Command, time::Instant};
use tokio_util::sync::CancellationToken;

/// How long starting and stopping may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often the engine looks whether its cluster is alive.
const WATCH: Duration = Duration::from_millis(500);

/// Small in memory (the whole cluster idles well below 60 MB), durable, and without what a single machine does not need.
const SETTINGS: [&str; 17] = [
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
    "huge_pages=off",
    "log_min_messages=warning",
    "timezone=UTC",
];

/// A running embedded cluster.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    directory: PathBuf,
    pid: Mutex<Pid>,
}

/// The user and group that the cluster runs as; none: our own.
type Owner = Option<(u32, u32)>;

impl EmbeddedPostgres {
    /// Starts the cluster below `directory`, making it at the first time. One that runs already is adopted.
    pub async fn start(directory: &Path) -> anyhow::Result<Self> {
        let socket = directory.join("run/.s.PGSQL.5432");
        ensure!(
            socket.as_os_str().len() < 104,
            "the data directory's path is too long for a Unix socket ({}); use a shorter data_dir, or set database_url",
            socket.display()
        );
        let pid = Mutex::new(start_or_adopt(directory).await?);
        Ok(Self {
            directory: directory.to_owned(),
            pid,
        })
    }

    /// Starts the cluster anew whenever it has died, until shutdown. What was committed is there again afterwards.
    pub async fn supervise(&self, shutdown: CancellationToken) {
        let data = self.directory.join("data");
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(WATCH) => {}
            }
            if running(&data).is_some() {
                continue;
            }
            tracing::warn!("embedded PostgreSQL has died; starting it anew");
            match start_or_adopt(&self.directory).await {
                Ok(pid) => *self.pid.lock().expect("no holder of this lock panics") = pid,
                Err(error) => tracing::error!(error = format!("{error:#}"), "embedded PostgreSQL cannot be started"),
            }
        }
    }

    /// The address for the store.
    pub fn url(&self) -> String {
        url(&self.directory)
    }

    /// Stops the cluster in order (a "fast" shutdown), harder when that takes too long.
    pub async fn stop(&self) {
        let pid = *self.pid.lock().expect("no holder of this lock panics");
        for signal in [Signal::INT, Signal::QUIT] {
            if kill_process(pid, signal).is_err() || wait_gone(pid, Duration::from_secs(8)).await {
                return;
            }
        }
        tracing::warn!("embedded PostgreSQL did not stop in time");
    }
}

async fn start_or_adopt(directory: &Path) -> anyhow::Result<Pid> {
    let owner = owner()?;
    let data = directory.join("data");
    if let Some(pid) = running(&data) {
        tracing::info!(pid = pid.as_raw_nonzero().get(), "embedded PostgreSQL runs already");
        return Ok(pid);
    }
    let binaries = binaries(&data)?;
    prepare(directory, owner)?;
    if !data.join("PG_VERSION").exists() {
        initdb(&binaries, &data, owner).await?;
    }
    launch(&binaries, directory, owner).await
}

/// The address of the cluster below `directory`.
pub fn url(directory: &Path) -> String {
    let run = directory.join("run");
    let host: String = url::form_urlencoded::byte_serialize(run.as_os_str().as_encoded_bytes()).collect();
    format!("postgres://windlass@localhost/postgres?host={host}")
}

/// As root, PostgreSQL refuses to run: then it is the `postgres` user that its package made.
fn owner() -> anyhow::Result<Owner> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let found = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.first() == Some(&"postgres"))
            .then(|| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)))?
    });
    found.map(Some).context(
        "there is no user `postgres` to run the embedded PostgreSQL; install it (apt-get install postgresql), or set database_url",
    )
}

/// The directory of the server's programs: of the version that made the data, or the newest there is.
pub fn binaries(data: &Path) -> anyhow::Result<PathBuf> {
    let wanted = fs::read_to_string(data.join("PG_VERSION"))
        .ok()
        .map(|version| version.trim().to_owned());
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            path.join("bin/postgres").exists().then(|| (version, path.join("bin")))
        })
        .collect();
    versions.sort();
    let found = match &wanted {
        Some(wanted) => versions.into_iter().find(|(version, _)| version.to_string() == *wanted),
        None => versions.pop(),
    };
    let what = wanted.map_or_else(|| "PostgreSQL".to_owned(), |version| format!("PostgreSQL {version}"));
    found.map(|(_, path)| path).with_context(|| {
        format!("{what} is not installed under /usr/lib/postgresql; install it (apt-get install postgresql), or set database_url")
    })
}

fn prepare(directory: &Path, owner: Owner) -> anyhow::Result<()> {
    for path in [directory.to_owned(), directory.join("data"), directory.join("run")] {
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        if let Some((uid, gid)) = owner {
            chown(&path, Some(uid), Some(gid))?;
        }
    }
    if owner.is_some() {
        check_reachable(directory)?;
    }
    Ok(())
}

/// Another user must be able to pass through every directory above the cluster.
fn check_reachable(directory: &Path) -> anyhow::Result<()> {
    let closed = directory
        .ancestors()
        .skip(1)
        .filter(|path| !path.as_os_str().is_empty())
        .find(|path| fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o001 == 0));
    match closed {
        Some(path) => bail!(
            "the user `postgres` cannot pass through {}; run `chmod o+x {0}`, use another data_dir, or set database_url",
            path.display()
        ),
        None => Ok(()),
    }
}

fn command(program: &Path, owner: Owner) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null());
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid);
    }
    command
}

async fn initdb(binaries: &Path, data: &Path, owner: Owner) -> anyhow::Result<()> {
    tracing::info!("making the embedded PostgreSQL cluster");
    let output = command(&binaries.join("initdb"), owner)
        .arg("--pgdata")
        .arg(data)
        .args([
            "--username=windlass",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--data-checksums",
        ])
        .output()
        .await
        .context("cannot run initdb")?;
    ensure!(
        output.status.success(),
        "initdb failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

async fn launch(binaries: &Path, directory: &Path, owner: Owner) -> anyhow::Result<Pid> {
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(directory.join("server.log"))?;
    let mut command = command(&binaries.join("postgres"), owner);
    command
        .arg("-D")
        .arg(directory.join("data"))
        .arg("-k")
        .arg(directory.join("run"));
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
    let pid = child
        .id()
        .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
        .context("postgres ended at once")?;
    let deadline = Instant::now() + DEADLINE;
    let socket = directory.join("run/.s.PGSQL.5432");
    while tokio::net::UnixStream::connect(&socket).await.is_err() {
        if let Some(status) = child.try_wait()? {
            bail!(
                "postgres ended with {status}; see {}",
                directory.join("server.log").display()
            );
        }
        ensure!(Instant::now() < deadline, "postgres did not start in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Reaped in the background, so that a crash does not leave a zombie that looks alive.
    tokio::spawn(async move { child.wait().await });
    Ok(pid)
}

/// The postmaster of this cluster, if it runs.
fn running(data: &Path) -> Option<Pid> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid = Pid::from_raw(text.lines().next()?.trim().parse().ok()?)?;
    let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).ok()?;
    (name.trim() == "postgres" && test_kill_process(pid).is_ok()).then_some(pid)
}

async fn wait_gone(pid: Pid, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while test_kill_process(pid).is_ok() {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cluster_starts_is_adopted_and_stops() {
        let temp = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in("/tmp")
            .unwrap();
        let directory = temp.path().join("postgres");
        let first = EmbeddedPostgres::start(&directory).await.unwrap();
        let second = EmbeddedPostgres::start(&directory).await.unwrap();
        assert_eq!(*first.pid.lock().unwrap(), *second.pid.lock().unwrap());
        assert!(
            first
                .url()
                .starts_with("postgres://windlass@localhost/postgres?host=%2Ftmp%2F")
        );
        second.stop().await;
        assert_eq!(running(&directory.join("data")), None);
    }
}
