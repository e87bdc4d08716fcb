//! The steps that BuildKit runs at this moment, and their control groups, as its own folder says.
//!
//! For each step BuildKit makes a bundle for `runc`, `{docker root}/buildkit/executor/{id}`, whose `config.json` names the group
//! under `linux.cgroupsPath`: `/docker/buildkit/{id}`, or `system.slice:docker:{id}` where Docker leaves groups to systemd.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    Unlimited,
    hierarchy::{Hierarchy, OwnGroups},
};
use crate::EngineAddress;

/// Bytes of a bundle's configuration that are read.
const CONFIG_LIMIT_BYTES: u64 = 1 << 20;

/// A step that runs or ran.
pub(super) struct Step {
    /// BuildKit's id of its container.
    pub(super) id: String,
    /// Its control group, as BuildKit names it to `runc`.
    pub(super) group: String,
    /// How often it was looked at since its group was there.
    pub(super) looks: u8,
    /// When it was found to be over.
    pub(super) ended: Option<Instant>,
    /// Whether it had more memory than it may have before it could be limited, and was killed for that: the kernel tells nothing of it.
    pub(super) killed: bool,
}

impl Step {
    /// One that was not looked at yet.
    pub(super) const fn new(id: String, group: String) -> Self {
        Self {
            id,
            group,
            looks: 0,
            ended: None,
            killed: false,
        }
    }

    /// The group around the groups of all steps, if BuildKit has one of its own.
    pub(super) fn nest(&self) -> Option<&str> {
        let (nest, _) = self.group.rsplit_once('/')?;
        (self.group.starts_with('/') && nest.ends_with("/buildkit")).then_some(nest)
    }
}

/// A Docker Engine on this machine.
pub(super) struct Engine {
    executor: PathBuf,
    process: PathBuf,
    pub(super) hierarchy: Hierarchy,
}

impl Engine {
    /// The engine at this address; `root` is its folder.
    pub(super) async fn find(address: &EngineAddress, root: Option<&Path>) -> Result<Self, Unlimited> {
        let EngineAddress::Unix(socket) = address else {
            return Err(Unlimited::Remote);
        };
        let executor = root.ok_or(Unlimited::Remote)?.join("buildkit/executor");
        if fs::read_dir(&executor).is_err() {
            return Err(Unlimited::Hidden(executor));
        }
        let process = process(socket).await.ok_or_else(|| Unlimited::Hidden(socket.clone()))?;
        let own = fs::read_to_string(process.join("cgroup")).map_err(|_| Unlimited::Hidden(process.clone()))?;
        Ok(Self {
            executor,
            process,
            hierarchy: Hierarchy::of_this_machine(OwnGroups::parse(&own))?,
        })
    }

    /// Whether this engine still runs.
    pub(super) fn is_there(&self) -> bool {
        self.process.exists()
    }

    /// The steps that are not among those that are known.
    pub(super) fn new_steps(&self, known: &[Step]) -> Vec<Step> {
        let Ok(entries) = fs::read_dir(&self.executor) else {
            return Vec::new();
        };
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        ids.filter(|id| known.iter().all(|step| step.id != *id))
            .filter_map(|id| {
                let group = self.group_of(&id)?;
                Some(Step::new(id, group))
            })
            .collect()
    }

    /// Whether BuildKit has cleared a step away.
    pub(super) fn is_cleared(&self, step: &Step) -> bool {
        !self.executor.join(&step.id).exists()
    }

    /// The group of a step; none while its configuration is not written yet, and for whatever is no step.
    fn group_of(&self, id: &str) -> Option<String> {
        let config = self.executor.join(id).join("config.json");
        let file = fs::File::open(config).ok()?;
        let config: serde_json::Value = serde_json::from_reader(io::Read::take(file, CONFIG_LIMIT_BYTES)).ok()?;
        let path = config.get("linux")?.get("cgroupsPath")?.as_str()?;
        named_after(path, id).then(|| path.to_owned())
    }
}

/// Whether a group belongs to one step alone.
fn named_after(path: &str, id: &str) -> bool {
    path.strip_suffix(id)
        .is_some_and(|before| before.ends_with(['/', ':']) && !id.is_empty())
        && !path.split('/').any(|part| part == "..")
}

/// The engine's process in `/proc`: who listens on the socket. systemd may have opened it for the engine; then it is found by name.
async fn process(socket: &Path) -> Option<PathBuf> {
    let stream = tokio::net::UnixStream::connect(socket).await.ok()?;
    let listener = stream.peer_cred().ok()?.pid().unwrap_or(0);
    let listener = PathBuf::from(format!("/proc/{listener}"));
    if is_engine(&listener) {
        return Some(listener);
    }
    let mut processes = fs::read_dir("/proc").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    processes.find(|process| is_engine(process))
}

fn is_engine(process: &Path) -> bool {
    fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "dockerd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_group_of_the_steps_own_is_taken() {
        assert!(named_after("/docker/buildkit/abc", "abc"));
        assert!(named_after("system.slice:docker:abc", "abc"));
        for other in [
            "/docker",
            "/docker/buildkit",
            "/docker/xabc",
            "abc",
            "",
            "/../docker/abc",
        ] {
            assert!(!named_after(other, "abc"), "{other}");
        }
    }

    #[test]
    fn the_nest_of_all_steps_is_only_known_where_buildkit_has_one() {
        let nest = |group: &str| {
            let step = Step::new("abc".to_owned(), group.to_owned());
            step.nest().map(str::to_owned)
        };
        assert_eq!(nest("/docker/buildkit/abc").as_deref(), Some("/docker/buildkit"));
        assert_eq!(nest("system.slice:docker:abc"), None);
    }
}
