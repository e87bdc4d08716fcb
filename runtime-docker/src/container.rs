//! Looking at one container, stopping it, removing it, waiting for it. Each first makes sure that it is ours.

use std::time::Duration;

use bollard::{
    errors::Error,
    models::ContainerInspectResponse,
    query_parameters::{
        ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
        WaitContainerOptionsBuilder,
    },
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;
use windlass_domain::AppId;
use windlass_runtime::{ContainerId, Exit, RuntimeError};

use crate::{
    DockerRuntime,
    body::whole_seconds,
    events::is_killed,
    fault::{is_missing, message, runtime_error, status},
    labelled::{filter, is_own},
    observe::exit_of,
};

/// How many containers are removed at the same time: more do not make Docker faster.
const AT_ONCE: usize = 4;
/// How long a removal that Docker cannot finish at once is tried for.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(15);
/// How long to wait between two tries of a removal.
const REMOVAL_PAUSE: Duration = Duration::from_millis(100);
/// What Docker gets on top of the grace to kill a container and say so.
const STOP_MARGIN: Duration = Duration::from_secs(60);

impl DockerRuntime {
    /// Inspects whatever has this id or name; none if there is nothing.
    pub(crate) async fn inspect(
        &self,
        container: &ContainerId,
    ) -> Result<Option<ContainerInspectResponse>, RuntimeError> {
        match self.docker.inspect_container(container.as_str(), None).await {
            Ok(mut found) => {
                let limit = found.host_config.as_ref().and_then(|config| config.memory);
                let limited = limit.is_some_and(|bytes| bytes > 0);
                if let Some(killed) = found.state.as_mut().filter(|state| limited && is_killed(state)) {
                    killed.oom_killed = Some(self.ran_out_of_memory(container, killed).await?);
                }
                Ok(Some(found))
            }
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(runtime_error("inspect a container", error)),
        }
    }

    /// Inspects one of our own; none if it is gone, an error if it is not ours.
    pub(crate) async fn inspect_own(
        &self,
        container: &ContainerId,
    ) -> Result<Option<ContainerInspectResponse>, RuntimeError> {
        let Some(found) = self.inspect(container).await? else {
            return Ok(None);
        };
        let labels = found.config.as_ref().and_then(|config| config.labels.as_ref());
        if is_own(&self.engine, labels) {
            Ok(Some(found))
        } else {
            Err(RuntimeError::NoSuchContainer(container.to_string()))
        }
    }

    pub(crate) async fn stop_container(&self, container: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        let Some(found) = self.inspect_own(container).await? else {
            return Ok(());
        };
        if !found.state.and_then(|state| state.running).unwrap_or(false) {
            return Ok(());
        }
        let seconds = i32::try_from(whole_seconds(grace)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        // Docker answers when the container has ended, which may be after the usual time-out.
        let patient = self.docker.clone().with_timeout(grace + STOP_MARGIN);
        match patient.stop_container(container.as_str(), Some(options)).await {
            Ok(()) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(runtime_error("stop a container", error)),
        }
    }

    pub(crate) async fn remove_container(&self, container: &ContainerId) -> Result<(), RuntimeError> {
        let deadline = Instant::now() + REMOVAL_DEADLINE;
        while self.inspect_own(container).await?.is_some() {
            // Anonymous volumes (`VOLUME` in a Dockerfile) belong to the container and go with it.
            let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            match self.docker.remove_container(container.as_str(), Some(options)).await {
                Ok(()) => return Ok(()),
                Err(error) if is_missing(&error) => return Ok(()),
                Err(error) if is_removal_under_way(&error) && Instant::now() < deadline => {
                    tokio::time::sleep(REMOVAL_PAUSE).await;
                }
                Err(error) => return Err(runtime_error("remove a container", error)),
            }
        }
        Ok(())
    }

    /// All containers of an app, also those whose other labels cannot be read.
    pub(crate) async fn remove_containers_of(&self, app: AppId) -> Result<(), RuntimeError> {
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filter(&self.engine, Some(app)))
            .build();
        let found = self
            .docker
            .list_containers(Some(options))
            .await
            .map_err(|error| runtime_error("list containers", error))?;
        stream::iter(found.into_iter().filter_map(|container| container.id))
            .map(|id| async move { self.remove_container(&ContainerId::new(id)).await })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    pub(crate) async fn wait_for_end(&self, container: &ContainerId) -> Result<Exit, RuntimeError> {
        const ACTION: &str = "wait for a container";
        let gone = || RuntimeError::NoSuchContainer(container.to_string());
        self.inspect_own(container).await?.ok_or_else(gone)?;
        let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
        let answer = self
            .docker
            .wait_container(container.as_str(), Some(options))
            .next()
            .await
            .ok_or_else(|| RuntimeError::Unreachable("the connection ended before the container did".into()))?;
        let code = match answer {
            Ok(answer) => answer.status_code,
            Err(Error::DockerContainerWaitError { code, .. }) => code,
            Err(error) if is_missing(&error) => return Err(gone()),
            Err(error) => return Err(runtime_error(ACTION, error)),
        };
        let state = self.inspect(container).await?.and_then(|found| found.state);
        Ok(state.map_or(
            Exit {
                code,
                oom_killed: false,
            },
            |state| exit_of(&state),
        ))
    }
}

/// Answers after which the same removal may succeed a moment later.
fn is_removal_under_way(error: &Error) -> bool {
    let words = message(error);
    (status(error) == Some(409) && words.contains("already in progress"))
        || words.contains("device or resource busy")
        || words.contains("driver failed to remove root filesystem")
        || words.contains("did not receive an exit event")
}
