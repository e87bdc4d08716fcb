//! The data directory, and the lock that keeps a second engine out of it.

use std::{
    fs::{self, File},
    io::{Read, Seek, Write},
    os::unix::fs::PermissionsExt,
};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};

use crate::config::Config;

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
        .open(config.pid_file())?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
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

/// The process id of the engine that holds the data directory, if one does.
pub fn running_engine(config: &Config) -> Option<i32> {
    let mut file = File::options().read(true).write(true).open(config.pid_file()).ok()?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        return None;
    }
    let mut pid = String::new();
    file.read_to_string(&mut pid).ok()?;
    pid.trim().parse().ok()
}
