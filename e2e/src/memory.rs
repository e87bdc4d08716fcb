//! What an idle installation keeps in memory.

use std::{collections::BTreeMap, fs, time::Duration};

use windlass_testkit::Engine;

use crate::table::Row;

const APPS: usize = 100;
/// How long it is left alone before it is looked at.
const IDLE: Duration = Duration::from_secs(20);

/// Resident and proportional set sizes with a hundred apps recorded.
pub(crate) async fn measure() -> Vec<Row> {
    let engine = Engine::start().await;
    for n in 0..APPS {
        engine.app(&format!("app-{n}")).await;
    }
    tokio::time::sleep(IDLE).await;
    let processes = Processes::look();
    let postmaster = fs::read_to_string(engine.data_dir().join("postgres/data/postmaster.pid")).unwrap();
    let postmaster: u32 = postmaster.lines().next().unwrap().trim().parse().unwrap();
    let database = processes.family(postmaster);
    let mut own = vec![engine.pid()];
    own.extend(processes.routers_in(&engine.data_dir().join("router")));
    let row = |what: &str, pids: &[u32], field: &str| Row {
        what: format!("{what}, {APPS} apps, MB"),
        values: vec![pids.iter().map(|pid| megabytes(*pid, field)).sum()],
        floor: Vec::new(),
        target: 60.0,
    };
    vec![
        row("windlassd and router idle, resident (RSS)", &own, "Rss:"),
        row("windlassd and router idle, proportional (PSS)", &own, "Pss:"),
        row("Postgres idle, proportional (PSS)", &database, "Pss:"),
    ]
}

/// All processes and their parents.
struct Processes(BTreeMap<u32, u32>);

impl Processes {
    fn look() -> Self {
        let pids = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self(pids.filter_map(|pid: u32| Some((pid, parent(pid)?))).collect())
    }

    /// A process and all its children.
    fn family(&self, root: u32) -> Vec<u32> {
        let children = self
            .0
            .iter()
            .filter(|(_, parent)| **parent == root)
            .map(|(pid, _)| *pid);
        std::iter::once(root).chain(children).collect()
    }

    /// The router processes that work in this folder.
    fn routers_in(&self, folder: &std::path::Path) -> Vec<u32> {
        let folder = folder.canonicalize().unwrap();
        let works_there = |pid: &&u32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder);
        self.0.keys().filter(works_there).copied().collect()
    }
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))?
        .trim()
        .parse()
        .ok()
}

fn megabytes(pid: u32, field: &str) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let kilobytes = rollup
        .lines()
        .find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or_else(|| panic!("process {pid} has no {field}")) / 1024.0
}
