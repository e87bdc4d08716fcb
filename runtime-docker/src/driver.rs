//! The driver: the port's trait, each method handed to the module that does it.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
use bollard::Docker;
use futures::stream::BoxStream;
use windlass_domain::AppId;
use windlass_runtime::{
    AppImage, ContainerId, Exit, Glimpse, InstanceSpec, LogsFrom, NetworkError, NetworkSpec, Observed, RunLogLine,
    Runtime, RuntimeError, RuntimeEvent, RuntimeInfo, Scope, StartError, Started,
};

use crate::fault::runtime_error;

/// Docker as a [`Runtime`]. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DockerRuntime {
    pub(crate) docker: Docker,
    pub(crate) engine: String,
    /// Docker may not raise the limit of open files here (it runs rootless, or confined itself): containers then inherit its own.
    pub(crate) files_unlimited: Arc<AtomicBool>,
}

impl DockerRuntime {
    /// A driver over a handle that [`crate::connect`] gave. `engine_id` is written into the label
    /// [`windlass_domain::labels::ENGINE`] of all that it makes; it sees and touches nothing with another value.
    pub fn new(docker: Docker, engine_id: impl Into<String>) -> Self {
        Self {
            docker,
            engine: engine_id.into(),
            files_unlimited: Arc::default(),
        }
    }

    /// The handle, for the builder.
    pub const fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The engine id that it was made with.
    pub fn engine_id(&self) -> &str {
        &self.engine
    }
}

#[async_trait]
impl Runtime for DockerRuntime {
    async fn info(&self) -> Result<RuntimeInfo, RuntimeError> {
        let info = self
            .docker
            .info()
            .await
            .map_err(|error| runtime_error("describe itself", error))?;
        let api = self.docker.client_version();
        Ok(RuntimeInfo {
            name: "docker".to_owned(),
            version: info.server_version.unwrap_or_default(),
            api_version: format!("{}.{}", api.major_version, api.minor_version),
            cgroup_version: info.cgroup_version.and_then(|version| version.to_string().parse().ok()),
            live_restore: info.live_restore_enabled.unwrap_or(false),
            cpus: info.ncpu.and_then(|cpus| u32::try_from(cpus).ok()).unwrap_or(0),
            memory_bytes: info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
        })
    }

    async fn ensure_network(&self, network: &NetworkSpec) -> Result<(), NetworkError> {
        self.make_network(network).await
    }

    async fn remove_network(&self, app: AppId) -> Result<(), RuntimeError> {
        self.remove_networks_of(app).await
    }

    async fn start(&self, spec: &InstanceSpec) -> Result<Started, StartError> {
        self.start_instance(spec).await
    }

    async fn wake_gate(&self, container: &ContainerId) -> Result<(), RuntimeError> {
        self.take_up_checks(container).await
    }

    async fn glance(&self) -> Result<Vec<Glimpse>, RuntimeError> {
        self.glance_at_containers().await
    }

    async fn observe(&self, scope: Scope) -> Result<Vec<Observed>, RuntimeError> {
        self.observe_containers(scope).await
    }

    async fn stop(&self, container: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        self.stop_container(container, grace).await
    }

    async fn remove(&self, container: &ContainerId) -> Result<(), RuntimeError> {
        self.remove_container(container).await
    }

    async fn wait(&self, container: &ContainerId) -> Result<Exit, RuntimeError> {
        self.wait_for_end(container).await
    }

    fn logs(&self, container: &ContainerId, from: LogsFrom) -> BoxStream<'static, Result<RunLogLine, RuntimeError>> {
        self.read_logs(container, from)
    }

    async fn listening(&self, container: &ContainerId) -> Result<Vec<SocketAddr>, RuntimeError> {
        self.listening_sockets(container).await
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError> {
        self.subscribe().await
    }

    async fn images(&self, app: AppId) -> Result<Vec<AppImage>, RuntimeError> {
        self.images_of(app).await
    }

    async fn remove_image(&self, reference: &str) -> Result<(), RuntimeError> {
        self.remove_own_image(reference).await
    }

    async fn apps(&self) -> Result<Vec<AppId>, RuntimeError> {
        self.apps_with_something().await
    }

    async fn remove_app(&self, app: AppId) -> Result<(), RuntimeError> {
        self.remove_containers_of(app).await?;
        self.remove_networks_of(app).await?;
        self.remove_images_of(app).await
    }
}
