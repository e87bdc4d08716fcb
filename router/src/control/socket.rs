//! The control socket's file. A router that may have a successor has two names: its own, and for as long as it is the one that
//! serves the common one, by which it is found.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use tokio::net::{UnixListener, UnixStream};

use super::folder;
use crate::{ControlSocket, RouterError};

/// A bound control socket; its files are removed with it if they were made here.
pub(crate) struct Bound {
    pub(super) listener: UnixListener,
    own: Option<PathBuf>,
    current: Option<PathBuf>,
}

/// Opens the control socket. A file that a killed router left behind is replaced.
pub(crate) async fn bind(socket: ControlSocket) -> Result<Bound, RouterError> {
    match socket {
        ControlSocket::Bound(listener) => {
            listener.set_nonblocking(true).map_err(RouterError::Control)?;
            let listener = UnixListener::from_std(listener).map_err(RouterError::Control)?;
            Ok(Bound {
                listener,
                own: None,
                current: None,
            })
        }
        ControlSocket::Path(path) => bind_alone(path).await,
        ControlSocket::Successor { own, current } => bind_beside(own, current).await.map_err(RouterError::Control),
    }
}

async fn bind_alone(path: PathBuf) -> Result<Bound, RouterError> {
    if is_socket(&path) {
        if UnixStream::connect(&path).await.is_ok() {
            return Err(RouterError::AlreadyRunning);
        }
        fs::remove_file(&path).map_err(RouterError::Control)?;
    }
    let listener = listen(&path).map_err(RouterError::Control)?;
    Ok(Bound {
        listener,
        own: Some(path),
        current: None,
    })
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

/// The lock keeps another router from taking a socket that is bound but does not listen yet for a dead one.
async fn bind_beside(own: PathBuf, current: PathBuf) -> io::Result<Bound> {
    let _locked = lock_folder(&own)?;
    for path in folder::own_sockets(folder_of(&own))? {
        let dead =
            matches!(UnixStream::connect(&path).await, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused);
        if dead {
            fs::remove_file(&path)?;
        }
    }
    Ok(Bound {
        listener: listen(&own)?,
        own: Some(own),
        current: Some(current),
    })
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Held by whoever changes what a name in the folder means. Never for long.
fn lock_folder(path: &Path) -> io::Result<File> {
    let folder = File::open(folder_of(path))?;
    flock(&folder, FlockOperation::LockExclusive)?;
    Ok(folder)
}

impl Bound {
    /// From now on this router is the one that is found by the common name.
    pub(crate) fn announce(&mut self) -> Result<(), RouterError> {
        match (&self.own, &self.current) {
            (Some(own), Some(current)) => take_name(own, current).map_err(RouterError::Control),
            _ => Ok(()),
        }
    }

    /// The common name may belong to a successor already.
    fn give_up_name(&self) -> io::Result<()> {
        let (Some(own), Some(current)) = (&self.own, &self.current) else {
            return Ok(());
        };
        let _locked = lock_folder(own)?;
        if fs::symlink_metadata(own)?.ino() == fs::symlink_metadata(current)?.ino() {
            fs::remove_file(current)?;
        }
        Ok(())
    }
}

/// Replaces the name in one step, so that whoever looks for it always finds a router.
fn take_name(own: &Path, current: &Path) -> io::Result<()> {
    let _locked = lock_folder(own)?;
    let second = own.with_extension("new");
    match fs::remove_file(&second) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::hard_link(own, &second)?;
    fs::rename(&second, current)
}

impl Drop for Bound {
    fn drop(&mut self) {
        // The files may be gone already, with their folder.
        let _ = self.give_up_name();
        if let Some(path) = &self.own {
            let _ = fs::remove_file(path);
        }
    }
}
