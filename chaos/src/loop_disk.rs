//! A small filesystem in a file, which can be filled without harm to anybody.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use tempfile::TempDir;

/// So much more may be free when it has just been filled: others write there and remove meanwhile.
const TOLERANCE: u64 = 8 << 20;

/// A mounted ext4 of some megabytes without blocks kept for root. Dropping it unmounts and removes it.
#[derive(Debug)]
pub struct LoopDisk {
    mount: PathBuf,
    folder: TempDir,
}

impl LoopDisk {
    /// Makes and mounts one.
    ///
    /// # Errors
    /// When it cannot be made, such as where there are no loop devices.
    pub fn mount(megabytes: u64) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("chaos-disk-").tempdir_in("/tmp")?;
        let (image, mount) = (folder.path().join("image"), folder.path().join("mount"));
        File::create(&image)?.set_len(megabytes << 20)?;
        fs::create_dir(&mount)?;
        run("mkfs.ext4", &["-q", "-m", "0"], &[&image])?;
        run("mount", &["-o", "loop"], &[&image, &mount])?;
        Ok(Self { mount, folder })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Fills it until only so many megabytes are left.
    ///
    /// # Errors
    /// When its state cannot be read, or more is left.
    pub fn fill_but(&self, megabytes: u64) -> anyhow::Result<()> {
        let left = megabytes << 20;
        let ballast = self.free_bytes()?.saturating_sub(left);
        let file = File::create(self.mount.join("ballast"))?;
        // What does not fit any more has filled it.
        let _ = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, ballast.max(1));
        let free = self.free_bytes()?;
        ensure!(free <= left + TOLERANCE, "{free} bytes are free, and {left} should be");
        Ok(())
    }

    fn free_bytes(&self) -> anyhow::Result<u64> {
        let state = rustix::fs::statvfs(&self.mount)?;
        Ok(state.f_bavail * state.f_frsize)
    }

    /// Takes away what filled it.
    pub fn free(&self) {
        let _ = fs::remove_file(self.mount.join("ballast"));
    }
}

fn run(program: &str, args: &[&str], paths: &[&Path]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(args)
        .args(paths)
        .output()
        .with_context(|| format!("{program} is needed"))?;
    ensure!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        let _ = run("umount", &["-l"], &[&self.mount]);
        // The loop device goes with the last use of the file.
        let _ = fs::remove_file(self.folder.path().join("image"));
    }
}
