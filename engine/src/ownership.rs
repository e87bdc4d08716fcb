//! Folders and files that root shares with the unprivileged users of the router and of PostgreSQL. Whoever may write to a folder may
//! put a symbolic link into it, so nothing here follows one: a thing is opened without following, looked at, and changed through
//! the open file. Never change a mode or an owner by path.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::Path,
};

use anyhow::{Context, ensure};
use rustix::fs::OFlags;

/// A user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The user's id.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
}

/// Makes the folder unless it is there, and sees to its mode and, if given, its owner. The folders above must be there.
pub fn own_folder(path: &Path, mode: u32, owner: Option<Account>) -> anyhow::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot make the folder {}", path.display()));
        }
        _ => {}
    }
    let folder = open(path, OFlags::DIRECTORY).with_context(|| {
        format!(
            "{} must be a folder of its own (a symbolic link is not followed); move it away",
            path.display()
        )
    })?;
    let changed = folder
        .set_permissions(fs::Permissions::from_mode(mode))
        .and_then(|()| give(&folder, owner));
    changed.with_context(|| format!("cannot set the mode and the owner of {}", path.display()))
}

/// Gives a file to its user, if there is such a file. One that has a second name elsewhere is not given away.
pub fn give_file(path: &Path, owner: Account) -> anyhow::Result<()> {
    let file = match open(path, OFlags::NONBLOCK) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file.with_context(|| format!("cannot open {}", path.display()))?,
    };
    let meta = file.metadata()?;
    if meta.uid() == owner.uid {
        return Ok(());
    }
    ensure!(
        meta.is_file() && meta.nlink() == 1,
        "{} is no plain file; move it away",
        path.display()
    );
    give(&file, Some(owner)).with_context(|| format!("cannot change the owner of {}", path.display()))
}

/// Opens a log to append to; its folder is made, and may be read by everybody.
pub fn open_log(path: &Path) -> anyhow::Result<File> {
    if let Some(folder) = path.parent() {
        own_folder(folder, 0o755, None)?;
    }
    File::options()
        .create(true)
        .append(true)
        .mode(0o640)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .with_context(|| format!("cannot open the log {}", path.display()))
}

fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags((flags | OFlags::NOFOLLOW).bits().cast_signed())
        .open(path)
}

fn give(file: &File, owner: Option<Account>) -> io::Result<()> {
    match owner {
        Some(owner) => fchown(file, Some(owner.uid), Some(owner.gid)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Root can give things to others; any other user only to itself.
    fn somebody() -> Account {
        match rustix::process::geteuid().as_raw() {
            0 => Account {
                uid: 65_534,
                gid: 65_534,
            },
            uid => Account {
                uid,
                gid: rustix::process::getegid().as_raw(),
            },
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_folder_gets_its_mode_and_its_owner() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("router");
        own_folder(&path, 0o755, None).unwrap();
        own_folder(&path, 0o700, Some(somebody())).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(fs::metadata(&path).unwrap().uid(), somebody().uid);
    }

    #[test]
    fn a_link_in_the_place_of_a_folder_is_refused_and_its_target_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let (target, link) = (temp.path().join("target"), temp.path().join("link"));
        own_folder(&target, 0o755, None).unwrap();
        let before = fs::metadata(&target).unwrap().uid();
        symlink(&target, &link).unwrap();
        assert!(own_folder(&link, 0o700, Some(somebody())).is_err());
        assert_eq!(mode(&target), 0o755);
        assert_eq!(fs::metadata(&target).unwrap().uid(), before);
    }

    #[test]
    fn a_file_is_given_away_but_not_through_a_link() {
        let temp = tempfile::tempdir().unwrap();
        let (file, link, hard) = (
            temp.path().join("file"),
            temp.path().join("link"),
            temp.path().join("hard"),
        );
        give_file(&file, somebody()).unwrap();
        fs::write(&file, "x").unwrap();
        let before = fs::metadata(&file).unwrap().uid();
        symlink(&file, &link).unwrap();
        assert!(give_file(&link, somebody()).is_err());
        fs::hard_link(&file, &hard).unwrap();
        assert_eq!(give_file(&hard, somebody()).is_err(), before != somebody().uid);
        assert_eq!(fs::metadata(&file).unwrap().uid(), before);
        fs::remove_file(&hard).unwrap();
        give_file(&file, somebody()).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().uid(), somebody().uid);
    }

    #[test]
    fn a_log_is_not_opened_through_a_link() {
        let temp = tempfile::tempdir().unwrap();
        let log = temp.path().join("log/router.log");
        drop(open_log(&log).unwrap());
        assert_eq!(mode(log.parent().unwrap()), 0o755);
        assert_eq!(mode(&log) & 0o027, 0, "others cannot read it");
        let link = temp.path().join("log/postgres.log");
        symlink(temp.path().join("elsewhere"), &link).unwrap();
        assert!(open_log(&link).is_err());
        assert!(!temp.path().join("elsewhere").exists());
    }
}
