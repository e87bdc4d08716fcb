//! How much room a file system has left.

use std::{
    io,
    path::{Path, PathBuf},
};

/// The room of the file system that a folder is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// The folder that was asked about.
    pub path: PathBuf,
    /// Bytes that are left, without what only root may use.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Inodes that are left.
    pub free_inodes: u64,
    /// Inodes in all; 0 on file systems that make them as they are needed.
    pub total_inodes: u64,
}

impl Space {
    /// Measures the file system of this folder, or of the nearest one above it that exists.
    pub fn measure(path: &Path) -> io::Result<Self> {
        let existing = path.ancestors().find(|path| path.exists()).unwrap_or(path);
        let stat = rustix::fs::statvfs(existing)?;
        Ok(Self {
            path: path.to_owned(),
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            free_inodes: stat.f_favail,
            total_inodes: stat.f_files,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_is_measured_by_the_one_above_it() {
        let space = Space::measure(Path::new("/tmp/not-there/at-all")).unwrap();
        assert!(space.free_bytes <= space.total_bytes && space.total_bytes > 0);
        assert_eq!(space.path, Path::new("/tmp/not-there/at-all"));
    }
}
