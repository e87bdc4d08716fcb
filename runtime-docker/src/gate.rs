//! Whether gates work with this Docker at all: they are folders of this machine, which a Docker on another one does not have.

use bollard::{
    body_full,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{CreateContainerOptionsBuilder, CreateImageOptionsBuilder, RemoveImageOptionsBuilder},
};
use futures::TryStreamExt;
use windlass_domain::labels;
use windlass_runtime::{ContainerId, Gate, RuntimeError};

use crate::{
    DockerRuntime,
    body::gate_mount,
    fault::{message, runtime_error, status},
};

/// Why gates do not work.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// Docker does not see the folder, or cannot run the program in it.
    #[error("Docker cannot run {program} with {folder} mounted into a container: {why}")]
    Unusable {
        /// The program, as the container sees it.
        program: String,
        /// The folder.
        folder: String,
        /// What Docker said.
        why: String,
    },
    /// Docker itself failed.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

const CHECK: &str = "try out a gate";
const WAKE: &str = "check a container's health again";
/// A tar archive of nothing.
const NOTHING: [u8; 1024] = [0; 1024];

impl DockerRuntime {
    /// Runs an open gate's program in a container of an empty image, as its health check would be. Leaves nothing behind.
    pub async fn try_gate(&self, gate: &Gate) -> Result<(), GateError> {
        let image = format!("windlass/gate-check:{}", self.engine.to_ascii_lowercase());
        let container = ContainerId::new(format!("windlass-gate-check-{}", self.engine));
        // What a killed engine left.
        self.remove_container(&container).await?;
        self.import_nothing(&image).await?;
        let tried = self.run_gate(gate, &image, &container).await;
        self.remove_container(&container).await?;
        let force = RemoveImageOptionsBuilder::new().force(true).build();
        let removed = self.docker.remove_image(&image, Some(force), None).await;
        removed.map_err(|error| runtime_error(CHECK, error))?;
        tried
    }

    /// Docker before 23 checks no container any more that outlived a restart of dockerd (`live-restore`), until it is paused and
    /// goes on: a fraction of a second, in which requests wait.
    pub(crate) async fn take_up_checks(&self, container: &ContainerId) -> Result<(), RuntimeError> {
        let Some(state) = self.inspect_own(container).await?.and_then(|found| found.state) else {
            return Ok(());
        };
        if state.health.is_none() || !state.running.unwrap_or(false) {
            return Ok(());
        }
        // One that is paused already was left so by an engine that was killed in between.
        if !state.paused.unwrap_or(false) {
            ignore_ended(self.docker.pause_container(container.as_str()).await)?;
        }
        ignore_ended(self.docker.unpause_container(container.as_str()).await)
    }

    async fn import_nothing(&self, image: &str) -> Result<(), RuntimeError> {
        let (repository, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
        let labels = self.own_labels().map(|(key, value)| format!("LABEL {key}={value}"));
        let options = CreateImageOptionsBuilder::new()
            .from_src("-")
            .repo(repository)
            .tag(tag)
            .changes(labels.to_vec())
            .build();
        let body = body_full(NOTHING.to_vec().into());
        let imported = self.docker.create_image(Some(options), Some(body), None);
        imported
            .try_for_each(|_| async { Ok(()) })
            .await
            .map_err(|error| runtime_error(CHECK, error))
    }

    async fn run_gate(&self, gate: &Gate, image: &str, container: &ContainerId) -> Result<(), GateError> {
        let unusable = |why: String| GateError::Unusable {
            program: gate.command.first().cloned().unwrap_or_default(),
            folder: gate.folder.display().to_string(),
            why,
        };
        // Docker's refusals are about the gate, for there is nothing else in this container; no answer is about Docker.
        let refused = |error: bollard::errors::Error| match status(&error) {
            Some(_) => unusable(message(&error).to_owned()),
            None => GateError::Runtime(runtime_error(CHECK, error)),
        };
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            entrypoint: Some(gate.command.clone()),
            user: Some("65534:65534".to_owned()),
            labels: Some(self.own_labels().into()),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                readonly_rootfs: Some(true),
                mounts: Some(vec![gate_mount(gate)]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(container.as_str()).build();
        let created = self.docker.create_container(Some(options), body).await;
        created.map_err(refused)?;
        let started = self.docker.start_container(container.as_str(), None).await;
        started.map_err(refused)?;
        match self.wait_for_end(container).await?.code {
            0 => Ok(()),
            code => Err(unusable(format!("it ended with code {code}"))),
        }
    }

    fn own_labels(&self) -> [(String, String); 2] {
        [(labels::MANAGED, "true"), (labels::ENGINE, self.engine.as_str())]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
    }
}

/// A container may end at any moment; then Docker refuses with a conflict, or does not know it any more.
fn ignore_ended(answer: Result<(), bollard::errors::Error>) -> Result<(), RuntimeError> {
    match answer {
        Err(error) if matches!(status(&error), Some(404 | 409)) => Ok(()),
        answer => answer.map_err(|error| runtime_error(WAKE, error)),
    }
}
