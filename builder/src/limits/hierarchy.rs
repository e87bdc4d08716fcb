//! The kernel's control groups, versions 1 and 2: where a group's files are, and what is written into them.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::Access,
    process::{Pid, Signal, kill_process},
};

use super::Unlimited;

/// An app's group has 1024 shares or a weight of 100 unless its limits say otherwise: a build gets a quarter of that.
const SHARES: u64 = 256;
const WEIGHT: u64 = 25;
/// Processes and threads of one step: enough for any compiler, not for a fork bomb.
const PROCESSES: u64 = 8192;
/// Quotas of CPU time are counted in periods of this length.
const PERIOD_US: u64 = 100_000;
/// Where a step's processes stand when the machine itself has no memory left: before apps and databases.
const KILLED_FIRST: &str = "500";
const ROOT: &str = "/sys/fs/cgroup";
/// The limit of all steps is so much beyond whole MiB. By that it is known for ours after the engine that set it was killed; an
/// operator's own limit is not so crooked.
const MARK: u64 = 0xD_0000;
const MIB: u64 = 1 << 20;

/// What a group is limited to.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Memory of one step.
    pub(super) memory_bytes: u64,
    /// Memory of all builds together.
    pub(super) all_memory_bytes: u64,
    /// Thousandths of a core; none for all cores.
    pub(super) cpu_millis: Option<u32>,
}

/// What stood on the group around all steps before builds were limited; none for what the kernel begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Before {
    memory_bytes: Option<u64>,
    weight: Option<u64>,
}

/// The groups of this machine, as a Docker Engine sees them. A group is named as BuildKit names it to `runc`: an absolute path
/// stands below the root of its tree, a relative one below the engine's own group, which in version 1 may be another one in each
/// tree. In version 2 it stands beside that, because a group with processes in it may have no groups below it there.
#[derive(Debug, Clone)]
pub(super) struct Hierarchy {
    version: Version,
    root: PathBuf,
    own: OwnGroups,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// A tree for each controller.
    V1,
    /// One tree.
    V2,
}

/// The groups that a process is in, as `/proc/{pid}/cgroup` lists them: by controller, in version 2 without one.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnGroups(BTreeMap<String, String>);

impl OwnGroups {
    pub(super) fn parse(text: &str) -> Self {
        let mut groups = BTreeMap::new();
        for line in text.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            if let (Some(controllers), Some(path)) = (fields.next(), fields.next()) {
                for controller in controllers.split(',') {
                    groups.insert(controller.to_owned(), path.to_owned());
                }
            }
        }
        Self(groups)
    }

    /// The group in the tree of a controller, without the slash before it.
    fn of(&self, controller: &str) -> &Path {
        let path = self.0.get(controller).map_or("", String::as_str);
        Path::new(path.trim_start_matches('/'))
    }
}

/// A file of a group, and the value that it must not exceed.
type Rule = (&'static str, &'static str, u64);

impl Hierarchy {
    /// The one that the kernel offers, if we may write to it. `own`: the engine's own groups.
    pub(super) fn of_this_machine(own: OwnGroups) -> Result<Self, Unlimited> {
        let root = PathBuf::from(ROOT);
        let (version, writable) = if root.join("cgroup.controllers").exists() {
            (Version::V2, root.clone())
        } else {
            (Version::V1, root.join("memory"))
        };
        match rustix::fs::access(&writable, Access::WRITE_OK) {
            Ok(()) => Ok(Self { version, root, own }),
            Err(_) => Err(Unlimited::ReadOnly(writable)),
        }
    }

    /// The folder of a group in the tree of a controller.
    fn folder(&self, controller: &str, group: &str) -> PathBuf {
        let (tree, own) = match self.version {
            Version::V1 => (self.root.join(controller), self.own.of(controller)),
            Version::V2 => (self.root.clone(), self.own.of("").parent().unwrap_or(Path::new(""))),
        };
        match group.strip_prefix('/') {
            Some(below) => tree.join(below),
            None => tree.join(own).join(group),
        }
    }

    /// Whether the group exists.
    pub(super) fn is_there(&self, group: &str) -> bool {
        self.folder("memory", group).exists()
    }

    /// Whether anything runs in the group.
    pub(super) fn has_processes(&self, group: &str) -> bool {
        !self.processes(group).is_empty()
    }

    /// Limits one step. Only the limit of memory has to hold; a controller that is missing costs its own limit.
    pub(super) fn limit(&self, group: &str, limits: &Limits) -> io::Result<()> {
        let optional: &[Rule] = match self.version {
            Version::V1 => &[("cpu", "cpu.shares", SHARES), ("pids", "pids.max", PROCESSES)],
            Version::V2 => &[("", "cpu.weight", WEIGHT), ("", "pids.max", PROCESSES)],
        };
        for (controller, file, value) in optional {
            let _ = lower(&self.folder(controller, group).join(file), *value);
        }
        if let Some(millis) = limits.cpu_millis {
            let _ = self.limit_cpu(group, millis);
        }
        let memory = self.folder("memory", group);
        match self.version {
            Version::V1 => {
                lower(&memory.join("memory.limit_in_bytes"), limits.memory_bytes)?;
                // With what it may swap: the kernel refuses it before the limit without swap is set.
                let _ = lower(&memory.join("memory.memsw.limit_in_bytes"), limits.memory_bytes);
            }
            Version::V2 => {
                let _ = lower(&memory.join("memory.swap.max"), 0);
                // A step that lost one of its processes may not know it: better that it ends whole.
                let _ = fs::write(memory.join("memory.oom.group"), "1");
                lower(&memory.join("memory.max"), limits.memory_bytes)?;
            }
        }
        Ok(())
    }

    fn limit_cpu(&self, group: &str, millis: u32) -> io::Result<()> {
        let quota = u64::from(millis) * PERIOD_US / 1000;
        match self.version {
            Version::V1 => {
                let cpu = self.folder("cpu", group);
                fs::write(cpu.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
                lower(&cpu.join("cpu.cfs_quota_us"), quota)
            }
            Version::V2 => lower(&self.folder("", group).join("cpu.max"), quota),
        }
    }

    /// What stands on the group around all steps, if that is not what an engine that was killed left.
    pub(super) fn before(&self, nest: &str) -> Before {
        let number = |file: &Path| number(&fs::read_to_string(file).ok()?);
        let before = Before {
            memory_bytes: number(&self.memory_file(nest)),
            weight: number(&self.weight_file(nest)),
        };
        match before.memory_bytes {
            Some(bytes) if bytes % MIB == MARK => Before::default(),
            _ => before,
        }
    }

    /// Limits the group around all steps: their weight together, and their memory. Not beyond what stood there before.
    pub(super) fn limit_nest(&self, nest: &str, before: &Before, limits: &Limits) {
        let (weight, ours) = match self.version {
            Version::V1 => (self.weight_file(nest), SHARES),
            Version::V2 => (self.weight_file(nest), WEIGHT),
        };
        let _ = lower(&weight, ours);
        let marked = (limits.all_memory_bytes / MIB * MIB).saturating_add(MARK);
        let bytes = before.memory_bytes.map_or(marked, |before| before.min(marked));
        if let Err(error) = fs::write(self.memory_file(nest), bytes.to_string()) {
            tracing::debug!(%error, "the group of all builds cannot be limited");
        }
    }

    /// Takes the limits of the group around all steps back.
    pub(super) fn restore_nest(&self, nest: &str, before: &Before) {
        let (all, weight) = match self.version {
            Version::V1 => ("-1", "1024"),
            Version::V2 => ("max", "100"),
        };
        let text =
            |value: Option<u64>, default: &str| value.map_or_else(|| default.to_owned(), |value| value.to_string());
        let _ = fs::write(self.memory_file(nest), text(before.memory_bytes, all));
        let _ = fs::write(self.weight_file(nest), text(before.weight, weight));
    }

    fn memory_file(&self, group: &str) -> PathBuf {
        self.folder("memory", group).join(match self.version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        })
    }

    fn weight_file(&self, group: &str) -> PathBuf {
        match self.version {
            Version::V1 => self.folder("cpu", group).join("cpu.shares"),
            Version::V2 => self.folder("", group).join("cpu.weight"),
        }
    }

    /// Puts what runs in the group first in the order in which the kernel kills when the machine has no memory left. BuildKit
    /// starts steps with the engine's own place, which is the last.
    pub(super) fn kill_first(&self, group: &str) {
        for process in self.processes(group) {
            let _ = fs::write(
                format!("/proc/{}/oom_score_adj", process.as_raw_nonzero()),
                KILLED_FIRST,
            );
        }
    }

    /// Kills what runs in the group.
    pub(super) fn kill(&self, group: &str) {
        for process in self.processes(group) {
            let _ = kill_process(process, Signal::KILL);
        }
    }

    fn processes(&self, group: &str) -> Vec<Pid> {
        let listed = fs::read_to_string(self.folder("memory", group).join("cgroup.procs")).unwrap_or_default();
        let pid = |line: &str| Pid::from_raw(line.trim().parse().ok()?);
        listed.lines().filter_map(pid).collect()
    }
}

/// Writes a limit unless a lower one stands there: another engine's, maybe.
fn lower(file: &Path, value: u64) -> io::Result<()> {
    if number(&fs::read_to_string(file)?).is_some_and(|now| now <= value) {
        return Ok(());
    }
    fs::write(file, value.to_string())
}

/// A limit as the kernel tells it; none if there is no limit, which is written as `max` or -1.
fn number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        memory_bytes: 1 << 30,
        all_memory_bytes: 2 << 30,
        cpu_millis: Some(1500),
    };

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let temp = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = temp.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        temp
    }

    fn read(temp: &tempfile::TempDir, path: &str) -> String {
        fs::read_to_string(temp.path().join(path)).unwrap()
    }

    fn hierarchy(version: Version, root: &Path, own: &str) -> Hierarchy {
        Hierarchy {
            version,
            root: root.to_owned(),
            own: OwnGroups::parse(own),
        }
    }

    #[test]
    fn a_step_is_limited_in_version_1() {
        let group = "/docker/buildkit/abc";
        let temp = tree(&[
            (
                "memory/docker/buildkit/abc/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            (
                "memory/docker/buildkit/abc/memory.memsw.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("cpu/docker/buildkit/abc/cpu.shares", "1024\n"),
            ("cpu/docker/buildkit/abc/cpu.cfs_quota_us", "-1\n"),
            ("pids/docker/buildkit/abc/pids.max", "max\n"),
        ]);
        let hierarchy = hierarchy(Version::V1, temp.path(), "");
        hierarchy.limit(group, &LIMITS).unwrap();
        assert_eq!(
            read(&temp, "memory/docker/buildkit/abc/memory.limit_in_bytes"),
            "1073741824"
        );
        assert_eq!(
            read(&temp, "memory/docker/buildkit/abc/memory.memsw.limit_in_bytes"),
            "1073741824"
        );
        assert_eq!(read(&temp, "cpu/docker/buildkit/abc/cpu.shares"), "256");
        assert_eq!(read(&temp, "cpu/docker/buildkit/abc/cpu.cfs_quota_us"), "150000");
        assert_eq!(read(&temp, "pids/docker/buildkit/abc/pids.max"), "8192");
    }

    #[test]
    fn the_group_around_all_steps_is_limited_while_builds_run_and_no_further_than_it_was() {
        let nest = "/docker/buildkit";
        let (memory, weight) = ("docker/buildkit/memory.max", "docker/buildkit/cpu.weight");
        let temp = tree(&[(memory, "max\n"), (weight, "100\n")]);
        let hierarchy = hierarchy(Version::V2, temp.path(), "");
        let now = || (read(&temp, memory), read(&temp, weight));
        let before = hierarchy.before(nest);
        hierarchy.limit_nest(nest, &before, &LIMITS);
        let ours = ((2 << 30) + MARK).to_string();
        assert_eq!(now(), (ours.clone(), "25".to_owned()));
        assert_eq!(
            hierarchy.before(nest),
            Before::default(),
            "an engine that was killed left it"
        );
        hierarchy.restore_nest(nest, &before);
        assert_eq!(now(), ("max".to_owned(), "100".to_owned()));

        let operators = (3_u64 << 29).to_string();
        fs::write(temp.path().join(memory), &operators).unwrap();
        let before = hierarchy.before(nest);
        hierarchy.limit_nest(nest, &before, &LIMITS);
        assert_eq!(now().0, operators, "it is never raised beyond what the operator set");
        hierarchy.restore_nest(nest, &before);
        assert_eq!(now().0, operators);
    }

    #[test]
    fn a_step_is_limited_in_version_2_and_a_lower_limit_is_left_alone() {
        let group = "system.slice:docker:abc";
        let folder = Path::new("system.slice").join(group);
        let files = [
            ("memory.max", "max\n"),
            ("memory.swap.max", "max\n"),
            ("cpu.weight", "10\n"),
            ("cpu.max", "max 100000\n"),
            ("pids.max", "100\n"),
        ];
        let files = files.map(|(file, text)| (folder.join(file).to_str().unwrap().to_owned(), text));
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        let temp = tree(&files);
        let hierarchy = hierarchy(Version::V2, temp.path(), "0::/system.slice/docker.service\n");
        hierarchy.limit(group, &LIMITS).unwrap();
        let now = |file: &str| read(&temp, folder.join(file).to_str().unwrap());
        assert_eq!(now("memory.max"), "1073741824");
        assert_eq!(
            (now("memory.swap.max"), now("memory.oom.group")),
            ("0".into(), "1".into())
        );
        assert_eq!((now("cpu.weight"), now("pids.max")), ("10\n".into(), "100\n".into()));
        assert_eq!(now("cpu.max"), "150000");
    }

    #[test]
    fn a_step_without_the_controller_of_memory_is_not_limited() {
        let temp = tree(&[("docker/buildkit/abc/cpu.weight", "100\n")]);
        let hierarchy = hierarchy(Version::V2, temp.path(), "");
        assert!(hierarchy.limit("/docker/buildkit/abc", &LIMITS).is_err());
    }

    #[test]
    fn relative_paths_are_taken_as_runc_takes_them() {
        let (absolute, relative) = ("/docker/buildkit/abc", "system.slice:docker:abc");
        let folder =
            |hierarchy: &Hierarchy, controller, group| hierarchy.folder(controller, group).display().to_string();
        let v2 = hierarchy(Version::V2, Path::new("/x"), "0::/system.slice/docker.service\n");
        assert_eq!(folder(&v2, "", relative), "/x/system.slice/system.slice:docker:abc");
        assert_eq!(folder(&v2, "memory", absolute), "/x/docker/buildkit/abc");
        let root = hierarchy(Version::V2, Path::new("/x"), "0::/\n");
        assert_eq!(folder(&root, "", relative), "/x/system.slice:docker:abc");
        let own = "4:memory:/system.slice/docker.service\n1:cpu,cpuacct:/\n0::/elsewhere\n";
        let v1 = hierarchy(Version::V1, Path::new("/x"), own);
        assert_eq!(
            folder(&v1, "memory", relative),
            "/x/memory/system.slice/docker.service/system.slice:docker:abc"
        );
        assert_eq!(folder(&v1, "cpu", relative), "/x/cpu/system.slice:docker:abc");
        assert_eq!(folder(&v1, "cpu", absolute), "/x/cpu/docker/buildkit/abc");
    }
}
