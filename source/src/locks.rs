//! The lock files that a git leaves behind when it is killed in the middle, as a power cut or the kernel may kill it.

use std::{io, path::Path, time::Duration};

use crate::{
    fetch::remove_if_there,
    repositories::{age_of, entries},
};

/// No git holds a lock on a ref, or on all of them, for nearly as long: that is a matter of milliseconds, or of seconds for very many.
const LOCK_AGE: Duration = Duration::from_secs(60);

/// A lock of its own, which it holds for as long as a fetch takes; [`crate::fetch::clear_leftovers`] sees to it.
const SHALLOW_LOCK: &str = "shallow.lock";

/// Removes those of a bare repository that no git can be holding any more. Whether there was any.
pub(crate) fn clear(repository: &Path) -> io::Result<bool> {
    let shallow = repository.join(SHALLOW_LOCK);
    let mut any = clear_below(&repository.join("refs"))?;
    for folder in ["", "objects/info", "objects/info/commit-graphs"] {
        any |= clear_in(&repository.join(folder), Some(&shallow))?;
    }
    Ok(any)
}

fn clear_below(dir: &Path) -> io::Result<bool> {
    let mut any = clear_in(dir, None)?;
    for entry in entries(dir)? {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            any |= clear_below(&entry.path())?;
        }
    }
    Ok(any)
}

/// No ref and no other file of git ends in `.lock`.
fn clear_in(dir: &Path, except: Option<&Path>) -> io::Result<bool> {
    let mut any = false;
    for entry in entries(dir)? {
        let path = entry.path();
        let is_lock = path.extension().is_some_and(|extension| extension == "lock");
        if is_lock && Some(path.as_path()) != except && age_of(&path).is_some_and(|age| age > LOCK_AGE) {
            remove_if_there(&path)?;
            tracing::warn!(path = %path.display(), "removed a lock that a killed git had left behind");
            any = true;
        }
    }
    Ok(any)
}
