//! Builds under limits of memory and CPU, which the BuildKit inside the Docker Engine does not offer itself (docs/adr/0007).
//!
//! Each step of a build runs in a control group of its own, and BuildKit writes down which one before it starts the step. While a
//! build runs, a watch looks for new steps and limits their groups, from outside and as root. It only ever lowers a limit, and only
//! touches groups that BuildKit names: containers of apps are never among them.

mod hierarchy;
mod kernel_log;
mod steps;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio_util::task::AbortOnDropHandle;

use self::{
    hierarchy::{Hierarchy, Limits},
    kernel_log::{KernelLog, Kill},
    steps::{Engine, Step},
};
use crate::EngineAddress;

/// How often a running build is looked at. What a step can take before it is limited is what it can take in this time.
const TICK: Duration = Duration::from_millis(20);
/// A step's first processes get their place in the order of killing at this many looks.
const MARKED_LOOKS: u8 = 3;

/// Why builds cannot be limited here. They run without limits then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unlimited {
    /// Its control groups are out of reach.
    #[error("the Docker Engine is not reached over a Unix socket of this machine")]
    Remote,
    /// Its folder or its process cannot be seen from here.
    #[error("{0} cannot be read; windlassd must run as root on the machine of the Docker Engine")]
    Hidden(PathBuf),
    /// The control groups belong to somebody else.
    #[error("the control groups under {0} cannot be changed; windlassd must run as root, outside a container")]
    ReadOnly(PathBuf),
}

/// What is known of the memory of a build that failed.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// What a build may use; none if builds are not limited here.
    pub(crate) limit_bytes: Option<u64>,
    /// The name of the process that the kernel killed for want of memory.
    pub(crate) killed: Option<String>,
    /// It was the machine that had no memory left, not the build.
    pub(crate) machine: bool,
}

/// Limits builds.
pub(crate) struct Limiter {
    address: EngineAddress,
    limits: Limits,
    engine: tokio::sync::Mutex<Option<Arc<Engine>>>,
    under_way: Mutex<UnderWay>,
}

/// The builds that are watched, and the groups around all steps that were limited for them.
#[derive(Default)]
struct UnderWay {
    builds: usize,
    nests: BTreeSet<String>,
}

impl Limiter {
    pub(crate) fn new(address: EngineAddress, memory_bytes: u64, cpu_millis: Option<u32>, builds: usize) -> Self {
        let builds = u64::try_from(builds.max(1)).unwrap_or(u64::MAX);
        let limits = Limits {
            memory_bytes,
            all_memory_bytes: memory_bytes.saturating_mul(builds),
            cpu_millis,
        };
        Self {
            address,
            limits,
            engine: tokio::sync::Mutex::default(),
            under_way: Mutex::default(),
        }
    }

    /// What a build may use.
    pub(crate) const fn memory_bytes(&self) -> u64 {
        self.limits.memory_bytes
    }

    /// Whether limits hold here. `root` is the Docker Engine's folder, as it says.
    pub(crate) async fn check(&self, root: Option<&Path>) -> Result<(), Unlimited> {
        self.engine(root).await.map(drop)
    }

    async fn engine(&self, root: Option<&Path>) -> Result<Arc<Engine>, Unlimited> {
        let mut known = self.engine.lock().await;
        // Another Docker Engine, or the same one after its restart, need not be where the last one was.
        if let Some(engine) = known.as_ref().filter(|engine| engine.is_there()) {
            return Ok(engine.clone());
        }
        let engine = Arc::new(Engine::find(&self.address, root).await?);
        *known = Some(engine.clone());
        Ok(engine)
    }

    /// Limits what runs from now until the watch is dropped.
    pub(crate) async fn watch(self: &Arc<Self>, root: Option<&Path>) -> Result<Watch, Unlimited> {
        let engine = self.engine(root).await?;
        let steps: Arc<Mutex<Vec<Step>>> = Arc::default();
        let kernel_log = KernelLog::from_now();
        self.under_way().builds += 1;
        let looking = look(self.clone(), engine.clone(), steps.clone());
        Ok(Watch {
            limiter: self.clone(),
            hierarchy: engine.hierarchy.clone(),
            steps,
            kernel_log,
            _looking: AbortOnDropHandle::new(tokio::spawn(looking)),
        })
    }

    fn under_way(&self) -> std::sync::MutexGuard<'_, UnderWay> {
        self.under_way.lock().expect("no holder of this lock panics")
    }

    /// One look: limits what is new.
    fn look(&self, engine: &Engine, steps: &mut Vec<Step>) {
        for step in engine.new_steps(steps) {
            steps.push(step);
        }
        for step in steps.iter_mut().filter(|step| step.looks < MARKED_LOOKS) {
            if !engine.hierarchy.is_there(&step.group) {
                continue;
            }
            if step.looks == 0 {
                self.limit(&engine.hierarchy, step);
            }
            step.looks += 1;
            engine.hierarchy.kill_first(&step.group);
        }
    }

    fn limit(&self, hierarchy: &Hierarchy, step: &Step) {
        if let Some(nest) = step.nest() {
            hierarchy.limit_all(nest, &self.limits);
            self.under_way().nests.insert(nest.to_owned());
        }
        match hierarchy.limit(&step.group, &self.limits) {
            Ok(()) => tracing::debug!(step = step.id, "a build step is limited"),
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                tracing::warn!(
                    step = step.id,
                    "a build step had more memory than it may have at once; killed"
                );
                hierarchy.kill(&step.group);
            }
            Err(error) if !hierarchy.is_there(&step.group) => {
                tracing::debug!(step = step.id, %error, "a build step ended before it was limited");
            }
            Err(error) => tracing::warn!(step = step.id, %error, "a build step cannot be limited"),
        }
    }
}

async fn look(limiter: Arc<Limiter>, engine: Arc<Engine>, steps: Arc<Mutex<Vec<Step>>>) {
    let mut clock = tokio::time::interval(TICK);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let (limiter, engine, steps) = (limiter.clone(), engine.clone(), steps.clone());
        // Lowering a limit can take the kernel a while, when it has to free pages for it.
        let looked = tokio::task::spawn_blocking(move || {
            let mut steps = steps.lock().expect("no holder of this lock panics");
            limiter.look(&engine, &mut steps);
        });
        if looked.await.is_err() {
            return;
        }
    }
}

/// One build that is watched.
pub(crate) struct Watch {
    limiter: Arc<Limiter>,
    hierarchy: Hierarchy,
    steps: Arc<Mutex<Vec<Step>>>,
    kernel_log: Option<KernelLog>,
    _looking: AbortOnDropHandle<()>,
}

impl Watch {
    /// What is known when the build has failed. A kill counts if its step began during this build and is gone by now: BuildKit does
    /// not tell whose step it was.
    pub(crate) fn memory(&mut self) -> Memory {
        let kills = self.kernel_log.as_mut().map(KernelLog::kills).unwrap_or_default();
        let steps = self.steps.lock().expect("no holder of this lock panics");
        let ended = |kill: &Kill| {
            steps
                .iter()
                .any(|step| step.id == kill.step && !self.hierarchy.has_processes(&step.group))
        };
        let kill = kills.into_iter().find(ended);
        Memory {
            limit_bytes: Some(self.limiter.memory_bytes()),
            machine: kill.as_ref().is_some_and(|kill| kill.machine),
            killed: kill.map(|kill| kill.process),
        }
    }
}

impl Drop for Watch {
    /// After the last build nothing of ours is left on a group that other users of the Docker Engine build in.
    fn drop(&mut self) {
        let mut under_way = self.limiter.under_way();
        under_way.builds -= 1;
        if under_way.builds == 0 {
            for nest in std::mem::take(&mut under_way.nests) {
                self.hierarchy.unlimit_all(&nest);
            }
        }
    }
}
