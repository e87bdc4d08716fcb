//! The trait itself.

use std::{net::SocketAddr, time::Duration};

use async_trait::async_trait;
use futures::stream::BoxStream;
use windlass_domain::AppId;

use crate::{
    AppImage, ContainerId, Exit, Glimpse, InstanceSpec, LogsFrom, NetworkError, NetworkSpec, Observed, RunLogLine,
    RuntimeError, RuntimeEvent, RuntimeInfo, Scope, StartError, Started,
};

/// What Windlass asks of whatever runs its containers.
///
/// Every method may be called twice with the same arguments without harm, because the work of a killed worker is taken over
/// and repeated. Nothing is seen or touched that does not carry this engine's labels
/// ([`windlass_domain::labels::MANAGED`] and [`windlass_domain::labels::ENGINE`]).
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// What the runtime is. Also the check that it can be reached at all.
    async fn info(&self) -> Result<RuntimeInfo, RuntimeError>;

    /// Makes the app's network unless it is there already. [`NetworkError::Overlap`] when the subnet is taken, so that the
    /// caller can try the next one.
    async fn ensure_network(&self, network: &NetworkSpec) -> Result<(), NetworkError>;

    /// Removes the app's networks; first disconnects what of our own is still in them. Fine when there are none.
    async fn remove_network(&self, app: AppId) -> Result<(), RuntimeError>;

    /// Creates and starts a container. A container of our own with the same instance id is adopted (and started, if it was only
    /// created); one that has already ended is left as it is and reported as started: `wait` and `observe` tell its end.
    async fn start(&self, spec: &InstanceSpec) -> Result<Started, StartError>;

    /// Sees to it that the program of a container's [`crate::Gate`] is run: a runtime may forget that when it is itself restarted.
    /// The container may stand still for a moment. Fine when it has no gate, does not run, or is gone.
    async fn wake_gate(&self, container: &ContainerId) -> Result<(), RuntimeError>;

    /// Our own containers, running or not, as their labels and the runtime describe them.
    async fn observe(&self, scope: Scope) -> Result<Vec<Observed>, RuntimeError>;

    /// Which instances of ours have a container, and whether it runs: one cheap question about all, for seeing where a closer look is
    /// due.
    async fn glance(&self) -> Result<Vec<Glimpse>, RuntimeError>;

    /// SIGTERM (or the image's own stop signal), then SIGKILL after `grace`. Returns when the container has ended; fine when it
    /// has already ended or is gone.
    async fn stop(&self, container: &ContainerId, grace: Duration) -> Result<(), RuntimeError>;

    /// Removes a container, killing it if it runs. Fine when it is gone.
    async fn remove(&self, container: &ContainerId) -> Result<(), RuntimeError>;

    /// Waits until a container has ended; at once if it has.
    async fn wait(&self, container: &ContainerId) -> Result<Exit, RuntimeError>;

    /// What a container writes, line by line, oldest first. The text is as the app wrote it, without the line end, and hostile:
    /// clean it with [`windlass_domain::log::clean_line`]. A following stream ends when the container ends.
    fn logs(&self, container: &ContainerId, from: LogsFrom) -> BoxStream<'static, Result<RunLogLine, RuntimeError>>;

    /// The TCP sockets in state LISTEN inside the container, sorted; empty when it does not run.
    async fn listening(&self, container: &ContainerId) -> Result<Vec<SocketAddr>, RuntimeError>;

    /// What happens to our own containers from now on: none is missed after this was called. A hint to look, never the truth: events are
    /// lost while the connection is down. Fails when the runtime does not answer.
    async fn events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError>;

    /// The app's images of ours, newest first.
    async fn images(&self, app: AppId) -> Result<Vec<AppImage>, RuntimeError>;

    /// Removes an image (or one of its tags) if it is ours. Fine when it is gone, when it is not ours (then nothing happens), and
    /// refused with [`RuntimeError::InUse`] while a container uses it.
    async fn remove_image(&self, reference: &str) -> Result<(), RuntimeError>;

    /// The apps of which something is here: a container, a network or an image of ours. Sorted.
    async fn apps(&self) -> Result<Vec<AppId>, RuntimeError>;

    /// Removes all that an app has here: containers, then network, then images.
    async fn remove_app(&self, app: AppId) -> Result<(), RuntimeError>;
}
