//! One build from request to image.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bollard::Docker;
use tokio::sync::{Mutex, OnceCell, mpsc};
use tokio_util::sync::CancellationToken;
use windlass_domain::{BuildSettings, ConfigKey, Failure, ProcessSpec, Redactor, Secret, SourceTree};

use crate::{
    BuildEvent, BuilderConfig, EngineAddress, Plan, PlanFailure, Space, Unlimited,
    diagnose::{self, Symptoms},
    limits::{Limiter, Memory, Watch},
    memory, plan,
    progress::{OutputLimits, Progress},
    queue::{Queue, Slot},
    solve::{self, SolveError},
};

/// What a build may use where the kernel does not say how much memory there is.
const FALLBACK_MEMORY_BYTES: u64 = 2 << 30;

/// Plans and builds revisions. Cheap to clone; clones share the limit of concurrent builds.
#[derive(Clone)]
pub struct Builder {
    pub(crate) docker: Docker,
    pub(crate) config: Arc<BuilderConfig>,
    queue: Arc<Queue>,
    limiter: Arc<Limiter>,
    root: Arc<OnceCell<PathBuf>>,
    /// When the build cache was trimmed last.
    pub(crate) trimmed: Arc<Mutex<Option<Instant>>>,
}

/// What is built.
pub struct BuildRequest {
    /// The revision's files.
    pub tree: Arc<dyn SourceTree>,
    /// What [`Builder::plan`] decided for them.
    pub plan: Plan,
    /// The app's settings.
    pub settings: BuildSettings,
    /// The name of the image, `windlass/{app}:{deployment id}`.
    pub tag: String,
    /// Labels of the image; they win over labels of the Dockerfile.
    pub labels: BTreeMap<String, String>,
    /// The app's config vars: offered as secret mounts (`id=NAME`), or as build args if the settings declare them so.
    pub config: BTreeMap<ConfigKey, Secret<String>>,
    /// Builds with different scopes share no cache mount of generated Dockerfiles: the app's id.
    pub cache_scope: String,
}

/// A built image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// Its digest, `sha256:…`.
    pub id: String,
    /// Process types; a `web` without a command is started by the image's own entry point and command.
    pub processes: Vec<ProcessSpec>,
    /// TCP ports that the image exposes, sorted.
    pub exposed_ports: Vec<u16>,
    /// Bytes of all its layers.
    pub size_bytes: u64,
    /// From the turn of the build to the image.
    pub duration: Duration,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The app's fault: the reason, the evidence, the next step.
    #[error("{}", .0.reason)]
    Failed(Failure),
    /// Somebody asked for it.
    #[error("the build was cancelled")]
    Cancelled,
    /// Our own fault, or Docker's.
    #[error("the Docker Engine did not build")]
    Engine(#[source] anyhow::Error),
}

impl Builder {
    /// A builder on this engine. `docker` has negotiated its API version.
    pub fn new(docker: Docker, config: BuilderConfig) -> Self {
        let half = || memory::total().map_or(FALLBACK_MEMORY_BYTES, |total| total / 2);
        let memory = config.limits.memory_bytes.unwrap_or_else(half);
        let (builds, cpu) = (config.max_concurrent, config.limits.cpu_millis);
        Self {
            docker,
            queue: Arc::new(Queue::new(builds, memory)),
            limiter: Arc::new(Limiter::new(config.engine.clone(), memory, cpu, builds)),
            config: Arc::new(config),
            root: Arc::default(),
            trimmed: Arc::default(),
        }
    }

    /// Bytes of memory that one build may use, or why builds run without limits here.
    pub async fn limits(&self) -> Result<u64, Unlimited> {
        self.limiter.check(self.root().await).await?;
        Ok(self.limiter.memory_bytes())
    }

    /// How many builds run.
    pub fn running(&self) -> usize {
        self.queue.running()
    }

    /// The room on the disk of the Docker Engine; none if that is not on this machine, or cannot be measured.
    pub async fn disk(&self) -> Option<Space> {
        let root = self.root().await.filter(|root| root.exists())?;
        Space::measure(root).ok()
    }

    /// The folder of the Docker Engine, if it is one of this machine.
    async fn root(&self) -> Option<&Path> {
        if !matches!(self.config.engine, EngineAddress::Unix(_)) {
            return None;
        }
        let ask = async || {
            let info = self.docker.info().await.map_err(drop)?;
            info.docker_root_dir.map(PathBuf::from).ok_or(())
        };
        self.root.get_or_try_init(ask).await.ok().map(PathBuf::as_path)
    }

    /// How this tree is built.
    pub async fn plan(&self, tree: Arc<dyn SourceTree>, settings: &BuildSettings) -> Result<Plan, PlanFailure> {
        let (settings, config) = (settings.clone(), self.config.clone());
        let decide = move || plan::decide(&tree, &settings, &config.base_images);
        match tokio::task::spawn_blocking(decide).await {
            Ok(decided) => decided,
            Err(error) => Err(PlanFailure::Read(io::Error::other(error))),
        }
    }
    /// Builds the image. Events arrive while it runs; a receiver that is gone is no reason to stop, a full one slows the build's
    /// output. When `cancel` fires, the timeout is over or this future is dropped, the engine kills what the build runs. In the first two
    /// cases the answer waits for that, where builds are limited: only then the next build may begin.
    pub async fn build(
        &self,
        request: BuildRequest,
        events: mpsc::Sender<BuildEvent>,
        cancel: CancellationToken,
    ) -> Result<BuiltImage, BuildError> {
        let _slot = self.turn(&events, &cancel).await?;
        let mut watch = self.limiter.watch(self.root().await).await.ok();
        let started = Instant::now();
        let limits = OutputLimits {
            log_bytes: self.config.max_log_bytes,
            line_chars: self.config.max_line_chars,
        };
        let mut progress = Progress::new(Redactor::new(request.config.values()), limits);
        let timeout = Duration::from_secs(request.settings.timeout_seconds.into());
        let given_up = tokio::select! {
            biased;
            () = cancel.cancelled() => None,
            () = tokio::time::sleep(timeout) => Some(request.settings.timeout_seconds),
            solved = solve::solve(self, &request, &mut progress, &events) => return match solved {
                Ok(id) => self.describe(id, request.plan, started).await,
                Err(SolveError::Refused(message)) => {
                    let memory = watch.as_mut().map(Watch::memory).unwrap_or_default();
                    Err(BuildError::Failed(explain(&message, &request, &progress, &memory)))
                }
                Err(SolveError::Failed(failure)) => Err(BuildError::Failed(failure)),
                Err(SolveError::Ours(error)) => Err(BuildError::Engine(error)),
            },
        };
        // The solve was dropped, and with it the connection: the engine kills what it runs.
        if let Some(watch) = &watch {
            watch.settle().await;
        }
        Err(given_up.map_or(BuildError::Cancelled, |seconds| {
            BuildError::Failed(diagnose::timed_out(seconds, progress.culprit()))
        }))
    }

    /// Waits until this build may begin.
    async fn turn(&self, events: &mpsc::Sender<BuildEvent>, cancel: &CancellationToken) -> Result<Slot, BuildError> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(BuildError::Cancelled),
            slot = self.queue.enter(events) => Ok(slot),
        }
    }

    async fn describe(&self, id: String, plan: Plan, started: Instant) -> Result<BuiltImage, BuildError> {
        let image = self
            .docker
            .inspect_image(&id)
            .await
            .map_err(|error| BuildError::Engine(error.into()))?;
        let exposed = image.config.and_then(|config| config.exposed_ports).unwrap_or_default();
        let mut exposed_ports: Vec<u16> = exposed.iter().filter_map(|port| tcp_port(port)).collect();
        exposed_ports.sort_unstable();
        exposed_ports.dedup();
        Ok(BuiltImage {
            id,
            processes: plan.processes().to_vec(),
            exposed_ports,
            size_bytes: image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
            duration: started.elapsed(),
        })
    }
}

/// `8080/tcp` as a number.
fn tcp_port(port: &str) -> Option<u16> {
    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    (protocol == "tcp").then(|| number.parse().ok())?
}

fn explain(message: &str, request: &BuildRequest, progress: &Progress, memory: &Memory) -> Failure {
    let message = progress.clean(message);
    diagnose::diagnose(&Symptoms {
        message: &message,
        step: progress.culprit(),
        plan: &request.plan,
        target: request.settings.target.as_deref(),
        memory,
    })
}
