//! Ending a router that answers nothing any more.
//!
//! Which process that is, is told by a socket in the router's folder, and the router's unprivileged user can put any socket there.
//! So it is looked whose process it is: what that user could not have ended itself, root does not end for it.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use anyhow::{Context, ensure};
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

/// Ends the process of a router that works in this folder at once, with all its requests.
///
/// # Errors
/// It is gone, or it is no process of the folder's owner, which the router is.
pub fn kill(process: u32, folder: &Path) -> anyhow::Result<()> {
    let pid = process.try_into().ok().and_then(Pid::from_raw);
    let pid = pid.with_context(|| format!("{process} is no process id"))?;
    ensure!(pid != getpid(), "process {process} is this one");
    let owner = fs::symlink_metadata(folder)
        .with_context(|| format!("cannot look at {}", folder.display()))?
        .uid();
    // With this in hand, the signal cannot meet another process that got the number since.
    let handle = pidfd_open(pid, PidfdFlags::empty()).with_context(|| format!("process {process} is not found"))?;
    let user = user_of(process)?;
    ensure!(
        user == owner,
        "process {process} is of user {user}, and the router would be of user {owner}"
    );
    pidfd_send_signal(handle, Signal::KILL).with_context(|| format!("process {process} cannot be ended"))
}

/// The real user of a process. The owner of its folder in `/proc` would be root where its memory may not be dumped.
fn user_of(process: u32) -> anyhow::Result<u32> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let real = users.and_then(|users| users.split_whitespace().next()?.parse().ok());
    real.with_context(|| format!("{path} does not say whose process it is"))
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::{
            fs::chown,
            process::{CommandExt, ExitStatusExt},
        },
        process::{Child, Command},
    };

    use rustix::process::geteuid;

    use super::*;

    fn process_of(user: u32) -> Child {
        Command::new("sleep").arg("600").uid(user).spawn().unwrap()
    }

    #[test]
    fn a_router_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut router = process_of(geteuid().as_raw());
        kill(router.id(), folder.path()).unwrap();
        assert_eq!(router.wait().unwrap().signal(), Some(Signal::KILL.as_raw()));
        assert!(kill(router.id(), folder.path()).is_err(), "it is gone");
    }

    #[test]
    fn the_folder_of_one_user_does_not_end_the_process_of_another() {
        // Nobody but root could end what is not its own.
        if !geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        chown(folder.path(), Some(65_534), None).unwrap();
        let (mut router, mut other) = (process_of(65_534), process_of(0));
        let ended = kill(router.id(), folder.path());
        let refused = kill(other.id(), folder.path());
        let lives = other.try_wait().unwrap().is_none();
        for process in [&mut router, &mut other] {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        ended.unwrap();
        assert!(lives);
        assert!(refused.unwrap_err().to_string().contains("is of user 0"));
    }

    #[test]
    fn what_is_no_process_is_refused_and_so_is_this_one() {
        let folder = tempfile::tempdir().unwrap();
        for process in [0, u32::MAX, std::process::id()] {
            assert!(kill(process, folder.path()).is_err(), "{process}");
        }
    }
}
