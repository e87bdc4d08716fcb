//! The routers that share a folder: the one that serves, and those that let their last requests end.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::ControlClient;

/// Every router that has a control socket in this folder, each once; some of the sockets may be those of killed routers. All of
/// them have to get a new table, and what is in flight is the sum over all of them.
pub fn in_folder(folder: &Path) -> io::Result<Vec<ControlClient>> {
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    for path in sockets(folder)? {
        // Gone since the folder was read: so is its router.
        let Ok(file) = fs::symlink_metadata(&path) else {
            continue;
        };
        // The one that serves has two names for one socket.
        if found.iter().all(|(inode, _)| *inode != file.ino()) {
            found.push((file.ino(), path));
        }
    }
    Ok(found.into_iter().map(|(_, path)| ControlClient::new(path)).collect())
}

/// The sockets that routers bound under a name of their own (see [`crate::ControlSocket::Successor`]).
pub(super) fn own_sockets(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut own = sockets(folder)?;
    own.retain(|path| is_own_name(path));
    Ok(own)
}

/// A process id, as a name that is as short as the common one: the path of a socket may not be long.
fn is_own_name(path: &Path) -> bool {
    let stem = path.file_stem().and_then(OsStr::to_str);
    stem.is_some_and(|stem| !stem.is_empty() && stem.bytes().all(|b| b.is_ascii_digit()))
}

/// Names of their own first: unlike the common name, they do not pass to another router.
fn sockets(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if path.extension() == Some(OsStr::new("sock")) && entry.file_type().is_ok_and(|kind| kind.is_socket()) {
            paths.push(path);
        }
    }
    paths.sort_by_key(|path| !is_own_name(path));
    Ok(paths)
}
