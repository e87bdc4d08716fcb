//! Processes, as the kernel tells of them.

use std::{
    fs,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

#[track_caller]
pub fn must_have_all_descriptors(pid: u32) {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .unwrap();
    let files: Vec<&str> = files.split_whitespace().collect();
    assert_eq!(files[0], files[1], "the soft limit is the hard one");
}

/// Returns when all its threads stand still: on a busy machine one of them may go on for a while, and take a connection with it.
pub async fn stop_process(pid: u32) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), Signal::STOP).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let mut states = threads.map(|thread| fs::read_to_string(thread.path().join("stat")).unwrap_or_default());
        if states.all(|stat| stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))) {
            return;
        }
        assert!(Instant::now() < deadline, "{pid} does not stop");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A process that ended and that nobody has waited for is still listed.
fn lives(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status
        .rsplit_once(") ")
        .is_some_and(|(_, state)| !state.starts_with('Z'))
}

pub async fn until_it_is_gone(pid: u32) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while lives(pid) {
        assert!(Instant::now() < deadline, "router {pid} hangs on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
