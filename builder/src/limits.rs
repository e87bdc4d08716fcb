//! Builds under limits of memory and CPU, which the BuildKit inside the Docker Engine does not offer itself (docs/adr/0007).
//!
//! Each step of a build runs in a control group of its own, and BuildKit writes down which one before it starts the step. While a
//! build runs, a watch looks for new steps and limits their groups, from outside and as root. It only ever lowers a limit, and only
//! touches groups that BuildKit names: containers of apps are never among them.

mod hierarchy;
mod kernel_log;
mod steps;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio_util::task::AbortOnDropHandle;

use self::{
    hierarchy::{Before, Hierarchy, Limits},
    kernel_log::{KernelLog, Kill},
    steps::{Engine, Step},
};
use crate::EngineAddress;

/// How often a running build is looked at. What a step can take before it is limited is what it can take in this time.
const TICK: Duration = Duration::from_millis(20);
/// A step is limited at this many looks: at the first one, some of its groups or processes may not be there yet.
const LIMITING_LOOKS: u8 = 3;
/// A step that ended so shortly before its build failed may be why.
const CLOSE: Duration = Duration::from_secs(3);
/// How long a build that was given up waits for the end of its processes.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);

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
    /// The name of the process that the kernel killed for want of memory, and of whose memory.
    pub(crate) killed: Option<(String, Shortage)>,
    /// Whether the kernel was heard all the time, and told of no kill that may be of this build.
    pub(crate) heard: bool,
}

/// Whose memory was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// That of the step.
    Step,
    /// What all builds that run may use together.
    Builds,
    /// That of the machine.
    Machine,
}

/// Limits builds.
pub(crate) struct Limiter {
    address: EngineAddress,
    limits: Limits,
    engine: tokio::sync::Mutex<Option<Arc<Engine>>>,
    under_way: Mutex<UnderWay>,
}

/// The builds that are watched, and the groups around all steps that were limited for them, with what stood there before.
#[derive(Default)]
struct UnderWay {
    builds: usize,
    nests: BTreeMap<String, Before>,
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

    /// One look: limits what is new, and notes what is over.
    fn look(&self, engine: &Engine, steps: &mut Vec<Step>) {
        for step in engine.new_steps(steps) {
            steps.push(step);
        }
        for step in steps.iter_mut().filter(|step| step.ended.is_none()) {
            if !engine.hierarchy.is_there(&step.group) {
                let is_over = step.looks > 0 || engine.is_cleared(step);
                step.ended = is_over.then(Instant::now);
            } else if step.looks < LIMITING_LOOKS {
                self.limit(&engine.hierarchy, step);
                step.looks += 1;
                engine.hierarchy.kill_first(&step.group);
            }
        }
    }

    /// Limits the group around a new step. It may have been limited before, but the Docker Engine may have made it anew.
    fn limit_nest(&self, hierarchy: &Hierarchy, nest: &str) {
        let mut under_way = self.under_way();
        // A last look may come after the last build: the group is others' again.
        if under_way.builds == 0 {
            return;
        }
        let before = under_way.nests.entry(nest.to_owned());
        let before = before.or_insert_with(|| hierarchy.before(nest));
        hierarchy.limit_nest(nest, before, &self.limits);
    }

    fn limit(&self, hierarchy: &Hierarchy, step: &mut Step) {
        if let Some(nest) = step.nest().filter(|_| step.looks == 0) {
            self.limit_nest(hierarchy, nest);
        }
        match hierarchy.limit(&step.group, &self.limits) {
            Ok(()) => tracing::trace!(step = step.id, "a build step is limited"),
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                tracing::warn!(
                    step = step.id,
                    "a build step had more memory than it may have at once; killed"
                );
                hierarchy.kill(&step.group);
                step.killed = true;
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
    /// What is known when the build has failed.
    pub(crate) fn memory(&mut self) -> Memory {
        let kills = self.kernel_log.as_mut().map(KernelLog::kills).unwrap_or_default();
        let mut steps = self.steps.lock().expect("no holder of this lock panics");
        let now = Instant::now();
        // The last look was a moment ago.
        for step in steps.iter_mut().filter(|step| step.ended.is_none()) {
            step.ended = (!self.hierarchy.has_processes(&step.group)).then_some(now);
        }
        // Whose kill it was may be unclear, and when; that there was one is not.
        let may_be_ours = steps
            .iter()
            .any(|step| step.killed || kills.iter().any(|kill| kill.step == step.id));
        Memory {
            limit_bytes: Some(self.limiter.memory_bytes()),
            heard: !may_be_ours && self.kernel_log.as_ref().is_some_and(KernelLog::is_whole),
            killed: blamed(kills, &steps, now).map(|kill| (kill.process, kill.shortage)),
        }
    }

    /// Waits until nothing runs any more of what began during this build, but not for ever: a step of another build may be among it.
    pub(crate) async fn settle(&self) {
        let settled = async {
            let mut clock = tokio::time::interval(TICK);
            while self.runs() {
                clock.tick().await;
            }
        };
        if tokio::time::timeout(SETTLED_WITHIN, settled).await.is_err() {
            tracing::debug!("steps still run that began during a build that was given up");
        }
    }

    fn runs(&self) -> bool {
        // A look that takes its time lowers the limit of something that runs.
        let Ok(steps) = self.steps.try_lock() else { return true };
        let mut open = steps.iter().filter(|step| step.ended.is_none());
        open.any(|step| self.hierarchy.has_processes(&step.group))
    }
}

/// The kill that a failure at this moment may come of: its step began during this build and has just ended. BuildKit does not tell
/// whose step it was.
fn blamed(kills: Vec<Kill>, steps: &[Step], now: Instant) -> Option<Kill> {
    let just_ended = |step: &Step| step.ended.is_some_and(|at| now.duration_since(at) <= CLOSE);
    let of_step = |kill: &Kill| steps.iter().any(|step| step.id == kill.step && just_ended(step));
    kills.into_iter().find(of_step)
}

impl Drop for Watch {
    /// After the last build nothing of ours is left on a group that other users of the Docker Engine build in.
    fn drop(&mut self) {
        let mut under_way = self.limiter.under_way();
        under_way.builds -= 1;
        if under_way.builds == 0 {
            for (nest, before) in std::mem::take(&mut under_way.nests) {
                self.hierarchy.restore_nest(&nest, &before);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_counts_for_the_build_that_fails_just_after_its_step_ended() {
        let now = Instant::now() + CLOSE * 10;
        let step = |id: &str, ended: Option<Duration>| Step {
            ended: ended.map(|before| now - before),
            ..Step::new(id.to_owned(), format!("/docker/buildkit/{id}"))
        };
        let steps = [
            step("long-ago", Some(CLOSE * 2)),
            step("now", Some(CLOSE / 2)),
            step("runs", None),
        ];
        let blame = |ids: &[&str]| {
            let kill = |id: &&str| Kill {
                step: (*id).to_owned(),
                process: "cc1".to_owned(),
                shortage: Shortage::Step,
            };
            blamed(ids.iter().map(kill).collect(), &steps, now).map(|kill| kill.step)
        };
        assert_eq!(blame(&["long-ago", "runs", "elsewhere"]), None);
        assert_eq!(blame(&["long-ago", "now"]).as_deref(), Some("now"));
    }
}
