//! The data directory, and the lock that keeps a second engine out of it.

use std::{
    fs::{self, File},
    io::{Read, Seek, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};

use crate::config::Config;

/// A probe ([`running_engine`]) may hold the lock for a moment; an engine holds it for good.
const PROBES_END: Duration = Duration::from_secs(1);

/// Held as long as the engine runs.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

/// Makes the data directory and takes its lock.
pub fn open(config: &Config) -> anyhow::Result<DataDirLock> {
    let path = &config.data_dir;
    fs::create_dir_all(path).with_context(|| {
        format!(
            "cannot make the data directory {}; set data_dir to one that this user may write to",
            path.display()
        )
    })?;
    // Others may pass through (PostgreSQL and the router run as other users), but not look.
    fs::set_permissions(path, fs::Permissions::from_mode(0o711))?;
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(config.pid_file())?;
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
    Ok(DataDirLock { _file: file })
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

/// The process id of the engine that holds the data directory, if one does.
pub fn running_engine(config: &Config) -> Option<i32> {
    let mut file = File::open(config.pid_file()).ok()?;
    // Shared, so that two probes at once do not take each other for an engine.
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    let mut pid = String::new();
    file.read_to_string(&mut pid).ok()?;
    pid.trim().parse().ok()
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

    fn probe(config: &Config) -> File {
        let file = File::open(config.pid_file()).unwrap();
        flock(&file, FlockOperation::NonBlockingLockShared).unwrap();
        file
    }

    #[test]
    fn an_engine_keeps_a_second_one_out_and_is_seen_until_it_ends() {
        let temp = tempfile::tempdir().unwrap();
        let config = config(temp.path());
        assert_eq!(running_engine(&config), None);
        let engine = open(&config).unwrap();
        assert_eq!(running_engine(&config), i32::try_from(std::process::id()).ok());
        assert!(open(&config).unwrap_err().to_string().contains("windlassd stop"));
        let mode = fs::metadata(config.pid_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(engine);
        assert_eq!(running_engine(&config), None);
    }

    #[test]
    fn probes_do_not_take_each_other_for_an_engine() {
        let temp = tempfile::tempdir().unwrap();
        let config = config(temp.path());
        drop(open(&config).unwrap());
        let _probe = probe(&config);
        assert_eq!(running_engine(&config), None);
    }

    #[test]
    fn an_engine_that_starts_during_a_probe_waits_for_its_end() {
        let temp = tempfile::tempdir().unwrap();
        let config = config(temp.path());
        drop(open(&config).unwrap());
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
