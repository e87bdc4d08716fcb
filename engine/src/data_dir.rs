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

use crate::{config::Config, roles::Role};

/// A probe ([`running_engine`]) may hold the lock for a moment; an engine holds it for good.
const PROBES_END: Duration = Duration::from_secs(1);

/// Held as long as the engine runs: one file for each of its roles, so that roles may run apart but none twice.
#[derive(Debug)]
pub struct DataDirLock {
    _files: Vec<File>,
}

/// The roles that a second process must not have on one data directory, and the files that hold their process ids.
fn locks(config: &Config) -> [(Role, PathBuf); 2] {
    [
        (Role::Api, config.pid_file()),
        (Role::Worker, config.data_dir.join("windlassd-worker.pid")),
    ]
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
    let wanted = locks(config).into_iter().filter(|(role, _)| roles.contains(role));
    let files = wanted
        .map(|(_, file)| take(&file, path))
        .collect::<anyhow::Result<_>>()?;
    Ok(DataDirLock { _files: files })
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
    for (_, pid_file) in locks(config) {
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
        assert!(
            open(&config, &[Role::Worker])
                .unwrap_err()
                .to_string()
                .contains("windlassd stop")
        );
        let mode = fs::metadata(config.pid_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(engine);
        assert_eq!(running_engine(&config).unwrap(), None);
    }

    #[test]
    fn roles_may_run_apart_but_none_twice() {
        let temp = tempfile::tempdir().unwrap();
        let config = config(temp.path());
        let _api = open(&config, &[Role::Api]).unwrap();
        let _worker = open(&config, &[Role::Worker]).unwrap();
        assert!(open(&config, &[Role::Worker]).is_err());
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
