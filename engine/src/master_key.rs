//! The key that seals secrets at rest. It lies beside the database, not in it: a dump alone reveals nothing.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use anyhow::{Context, ensure};
use windlass_domain::Secret;

/// Reads the key, or makes it at the first start (mode 0600).
pub fn load_or_create(path: &Path) -> anyhow::Result<Secret<Vec<u8>>> {
    let key = match fs::File::open(path) {
        Ok(file) => read(file, path)?,
        Err(error) if error.kind() == ErrorKind::NotFound => create(path)?,
        Err(error) => return Err(error).with_context(|| format!("cannot read the master key {}", path.display())),
    };
    ensure!(
        key.expose().len() == 32,
        "the master key {} must hold exactly 32 bytes",
        path.display()
    );
    Ok(key)
}

fn read(mut file: fs::File, path: &Path) -> anyhow::Result<Secret<Vec<u8>>> {
    let mode = file.metadata()?.mode();
    ensure!(
        mode & 0o077 == 0,
        "the master key {} can be read by others; run `chmod 600 {0}`",
        path.display()
    );
    let mut bytes = Vec::with_capacity(32);
    file.read_to_end(&mut bytes)?;
    Ok(Secret::new(bytes))
}

fn create(path: &Path) -> anyhow::Result<Secret<Vec<u8>>> {
    let key: [u8; 32] = rand::random();
    let mut file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot make the master key {}", path.display()))?;
    file.write_all(&key)?;
    file.sync_all()?;
    tracing::info!(path = %path.display(), "made the master key; keep a copy of it in a safe place");
    Ok(Secret::new(key.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_must_be_private() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("master.key");
        let first = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap(), first);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(load_or_create(&path).unwrap_err().to_string().contains("chmod 600"));
    }
}
