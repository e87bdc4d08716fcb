//! A machine that loses its power, as far as an installation on a Docker of its own is the machine: everything dies at once, and what a
//! boot loses is lost. What is on disk stays: data directories, pid files and sockets that lie there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::ensure;
use rustix::process::{Pid, Signal, kill_process};

/// How long killed processes may take until they are gone.
const DYING: Duration = Duration::from_secs(20);

/// Kills `first` and all that works for them or in these folders, with SIGKILL, until nothing is left of it.
///
/// # Errors
/// When something does not die.
pub async fn power_off(first: &[u32], folders: &[&Path]) -> anyhow::Result<()> {
    let mut doomed: BTreeSet<u32> = first.iter().copied().filter(|pid| *pid > 1).collect();
    let start = Instant::now();
    loop {
        let processes = processes();
        doomed.extend(
            processes
                .iter()
                .filter(|(_, process)| folders.iter().any(|folder| process.works_in(folder)))
                .map(|(pid, _)| *pid),
        );
        // Children of what is about to die, before they lose their parents.
        loop {
            let children: Vec<u32> = processes
                .iter()
                .filter(|(pid, process)| doomed.contains(&process.parent) && !doomed.contains(pid))
                .map(|(pid, _)| *pid)
                .collect();
            if children.is_empty() {
                break;
            }
            doomed.extend(children);
        }
        doomed.remove(&std::process::id());
        let alive: Vec<u32> = doomed
            .iter()
            .copied()
            .filter(|pid| processes.get(pid).is_some_and(|process| !process.zombie))
            .collect();
        if alive.is_empty() {
            return Ok(());
        }
        ensure!(start.elapsed() < DYING, "processes {alive:?} do not die");
        for pid in alive {
            if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What is known of a process.
struct Process {
    parent: u32,
    zombie: bool,
    command: String,
    cwd: Option<std::path::PathBuf>,
}

impl Process {
    /// Whether it has its place in this folder: its working directory, or something on its command line, such as a socket.
    fn works_in(&self, folder: &Path) -> bool {
        let named = folder.to_string_lossy();
        self.cwd.as_ref().is_some_and(|cwd| cwd.starts_with(folder)) || self.command.contains(&*named)
    }
}

/// All processes but this one.
fn processes() -> BTreeMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != std::process::id())
        .filter_map(|pid| Some((pid, process(pid)?)))
        .collect()
}

fn process(pid: u32) -> Option<Process> {
    let folder = Path::new("/proc").join(pid.to_string());
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // The name in brackets may hold anything.
    let mut after_name = stat.rsplit_once(')')?.1.split_whitespace();
    let zombie = after_name.next()? == "Z";
    let parent = after_name.next()?.parse().ok()?;
    let command = fs::read(folder.join("cmdline")).unwrap_or_default();
    Some(Process {
        parent,
        zombie,
        command: String::from_utf8_lossy(&command).replace('\0', " "),
        cwd: fs::read_link(folder.join("cwd")).ok(),
    })
}

/// Takes away what lies in memory: everything mounted under a folder.
pub fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|place| Path::new(place).starts_with(folder))
        .collect();
    // The last mounted first.
    for place in below.into_iter().rev() {
        quietly("umount", &["-l", place]);
    }
}

/// Takes away a network interface.
pub fn remove_interface(name: &str) {
    quietly("ip", &["link", "del", name]);
}

fn quietly(program: &str, args: &[&str]) {
    let _ = Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_dies_with_its_children_and_whoever_works_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let mut parent = Command::new("sh").args(["-c", "sleep 600 & wait"]).spawn().unwrap();
        let mut there = Command::new("sleep")
            .arg("600")
            .current_dir(folder.path())
            .spawn()
            .unwrap();
        let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
        windlass_testkit::wait_until("the child is there", Duration::from_secs(5), || async {
            processes().values().any(|process| process.parent == parent.id())
        })
        .await;
        let children: Vec<u32> = processes()
            .into_iter()
            .filter(|(_, process)| process.parent == parent.id())
            .map(|(pid, _)| pid)
            .collect();
        power_off(&[parent.id()], &[folder.path()]).await.unwrap();
        let processes = processes();
        assert!(
            children
                .iter()
                .all(|pid| processes.get(pid).is_none_or(|child| child.zombie))
        );
        assert!(processes.get(&stranger.id()).is_some_and(|process| !process.zombie));
        parent.wait().unwrap();
        there.wait().unwrap();
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}
