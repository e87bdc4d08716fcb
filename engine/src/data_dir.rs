//! The data directory, and the lock that keeps a second engine out of it.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use crate::{config::Config, roles::Role};

/// A probe ([`running_engine`]) may hold the lock for a moment; an engine holds it for good.
const PROBES_END: Duration = Duration::from_secs(1);

/// Held as long as the engine runs: one file for each of its roles, so that roles may run apart.
#[derive(Debug)]
pub struct DataDirLock {
    _files: Vec<File>,
    worker: Option<Succession>,
}

/// The worker that runs here, and the one that held its lock before: that one is dead, or its lock could not have been taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Succession {
    /// This one's id.
    pub id: Uuid,
    /// The id of the one before.
    pub predecessor: Option<Uuid>,
}

impl DataDirLock {
    /// Of the worker role, if this process has it.
    pub const fn worker(&self) -> Option<Succession> {
        self.worker
    }
}

/// Reads who held this lock before, and writes who does now.
fn succeed(pid_file: &Path) -> anyhow::Result<Succession> {
    let path = pid_file.with_extension("id");
    let predecessor = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    let id = Uuid::now_v7();
    fs::write(&path, format!("{id}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Succession { id, predecessor })
}

/// Workers that may run side by side on one data directory.
const MAX_WORKERS: u32 = 8;

/// The files that hold the process ids of those who have a role on this data directory: one API, several workers.
fn locks(config: &Config, role: Role) -> Vec<PathBuf> {
    match role {
        Role::Api => vec![config.pid_file()],
        Role::Worker => {
            let further = (2..=MAX_WORKERS).map(|n| config.data_dir.join(format!("windlassd-worker-{n}.pid")));
            std::iter::once(config.data_dir.join("windlassd-worker.pid"))
                .chain(further)
                .collect()
        }
        Role::Router => Vec::new(),
    }
}

/// Makes the data directory and takes the locks of these roles.
pub fn open(config: &Config, roles: &[Role]) -> anyhow::Result<DataDirLock> {
    let path = &config.data_dir;
    fs::create_dir_all(path).with_context(|| {
        format!(
            "cannot make the data directory {}; set data_dir to one that this user may write to",
            path.display()
        )
    })?;
    // Others may pass through (PostgreSQL and the router run as other users), but not look.
    fs::set_permissions(path, fs::Permissions::from_mode(0o711))?;
    let alone = roles == [Role::Worker];
    let (mut files, mut worker) = (Vec::new(), None);
    for role in roles {
        let mut candidates = locks(config, *role);
        if !alone {
            candidates.truncate(1);
        }
        if candidates.is_empty() {
            continue;
        }
        let (pid_file, lock) = take_any(&candidates, path)?;
        files.push(lock);
        if *role == Role::Worker {
            worker = Some(succeed(&pid_file)?);
        }
    }
    Ok(DataDirLock { _files: files, worker })
}

/// The first of these locks that is free; a worker on its own may be one of several.
fn take_any(files: &[PathBuf], path: &Path) -> anyhow::Result<(PathBuf, File)> {
    let mut refusal = None;
    for file in files {
        match take(file, path) {
            Ok(lock) => return Ok((file.clone(), lock)),
            Err(error) => refusal = Some(error),
        }
    }
    let refusal = refusal.expect("there is at least one lock");
    Err(if files.len() > 1 {
        refusal.context(format!(
            "{MAX_WORKERS} workers run on {} already, which is as many as may",
            path.display()
        ))
    } else {
        refusal
    })
}

fn take(pid_file: &Path, path: &Path) -> anyhow::Result<File> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(pid_file)?;
    // One that an older engine made may be open to others, who could hold its lock.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    if !lock(&file, PROBES_END) {
        let mut pid = String::new();
        file.read_to_string(&mut pid)?;
        bail!(
            "an engine runs already on {} (process {}); `windlassd stop` ends it",
            path.display(),
            pid.trim()
        );
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

fn lock(file: &File, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while flock(file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if Instant::now() > deadline {
            return false;
        }
        pause();
    }
    true
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells when a lock is free; the runtime has not started yet"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// The process id of the engine that holds the data directory, if one does. Of roles that run apart it is that of the API, or else
/// that of the worker. Fails when this user may not know.
pub fn running_engine(config: &Config) -> anyhow::Result<Option<i32>> {
    for pid_file in [Role::Api, Role::Worker].map(|role| locks(config, role)).concat() {
        if let Some(pid) = holder(&pid_file)? {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

fn holder(path: &Path) -> anyhow::Result<Option<i32>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.with_context(|| format!("cannot read {}; run this as the engine's user", path.display()))?,
    };
    // Shared, so that two probes at once do not take each other for an engine.
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return Ok(None);
    }
    let mut pid = String::new();
    file.read_to_string(&mut pid)?;
    Ok(pid.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn config(data_dir: &std::path::Path) -> Config {
        let data_dir = data_dir.to_str().unwrap().to_owned();
        let env = move |name: &str| (name == "WINDLASS_DATA_DIR").then(|| data_dir.clone());
        let file = tempfile::NamedTempFile::new().unwrap();
        crate::config::load(Some(file.path()), &env).unwrap().config
    }

    const ALL: [Role; 3] = [Role::Api, Role::Worker, Role::Router];

    fn probe(config: &Config) -> File {
        let file = File::open(config.pid_file()).unwrap();
        flock(&file, FlockOperation::NonBlockingLockShared).unwrap();
        file
    }

    #[test]
    fn an_engine_keeps_a_second_one_out_and_is_seen_until_it_ends() {
        let temp = tempfile::tempdir().unwrap();
        let config = config(temp.path());
        assert_eq!(running_engine(&config).unwrap(), None);
        let engine = open(&config, &ALL).unwrap();
        assert_eq!(running_engine(&config).unwrap(), i32::try_from(std::process::id()).ok());
        let second = open(&config, &ALL).unwrap_err().to_string();
        assert!(second.contains("windlassd stop"), "{second}");
        let mode = fs::metadata(config.pid_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(engine);
        assert_eq!(running_engine(&config).unwrap(), None);
    }

    #[test]
    fn roles_may_run_apart_and_there_is_one_api_but_several_workers() {
        let temp = tempfile::tempdir().unwrap();
        let config = config(temp.path());
        let _api = open(&config, &[Role::Api]).unwrap();
        let mut workers: Vec<_> = (0..MAX_WORKERS)
            .map(|_| open(&config, &[Role::Worker]).unwrap())
            .collect();
        assert!(open(&config, &[Role::Api]).is_err());
        let full = open(&config, &[Role::Worker]).unwrap_err().to_string();
        assert!(full.contains("8 workers run"), "{full}");
        workers.remove(3);
        workers.push(open(&config, &[Role::Worker]).unwrap());
        assert!(
            open(&config, &ALL).is_err(),
            "a whole engine needs a data directory of its own"
        );
    }

    #[test]
    fn a_worker_knows_whose_place_it_takes() {
        let temp = tempfile::tempdir().unwrap();
        let config = config(temp.path());
        let first = open(&config, &ALL).unwrap();
        let known = first.worker().unwrap();
        assert_eq!(known.predecessor, None);
        drop(first);
        let second = open(&config, &[Role::Worker]).unwrap();
        assert_eq!(second.worker().unwrap().predecessor, Some(known.id));
        let beside = open(&config, &[Role::Worker]).unwrap();
        assert_eq!(beside.worker().unwrap().predecessor, None, "it has a lock of its own");
        assert_eq!(open(&config, &[Role::Api]).unwrap().worker(), None);
    }

    #[test]
    fn probes_do_not_take_each_other_for_an_engine() {
        let temp = tempfile::tempdir().unwrap();
        let config = config(temp.path());
        drop(open(&config, &ALL).unwrap());
        let _probe = probe(&config);
        assert_eq!(running_engine(&config).unwrap(), None);
    }

    #[test]
    fn an_engine_that_starts_during_a_probe_waits_for_its_end() {
        let temp = tempfile::tempdir().unwrap();
        let config = config(temp.path());
        drop(open(&config, &ALL).unwrap());
        let probing = probe(&config);
        let file = File::options().write(true).open(config.pid_file()).unwrap();
        assert!(!lock(&file, Duration::ZERO));
        let (starting, started) = mpsc::channel();
        let engine = std::thread::spawn(move || {
            starting.send(()).unwrap();
            lock(&file, Duration::from_secs(30))
        });
        started.recv().unwrap();
        drop(probing);
        assert!(engine.join().unwrap());
    }
}
