//! Starting an instance: create and start, or adopt what an earlier attempt left.

use std::sync::atomic::Ordering;

use bollard::{
    errors::Error,
    models::{ContainerInspectResponse, ContainerStateStatusEnum},
    query_parameters::CreateContainerOptionsBuilder,
};
use windlass_domain::labels;
use windlass_runtime::{ContainerId, Exit, InstanceSpec, RuntimeError, StartError, Started};

use crate::{
    DockerRuntime,
    body::create_body,
    fault::{is_missing, message, runtime_error, status},
    labelled::is_own,
    observe::address_of,
};

const START: &str = "start a container";

/// How often it is tried: a name may be freed while we look, and limits may turn out not to be allowed.
const TRIES: u32 = 4;

impl DockerRuntime {
    pub(crate) async fn start_instance(&self, spec: &InstanceSpec) -> Result<Started, StartError> {
        for _ in 0..TRIES {
            match self.create(spec).await {
                Ok(container) => match self.start_created(spec, container, true).await {
                    Err(error) if self.gives_up_limits(&error) => {}
                    done => return done,
                },
                Err(error) if is_name_conflict(&error) => {
                    if let Some(adopted) = self.adopt(spec).await? {
                        return Ok(adopted);
                    }
                }
                Err(error) => return Err(create_error(spec, error)),
            }
        }
        Err(StartError::NameTaken {
            name: spec.name.to_string(),
            holder: "that is being removed".to_owned(),
        })
    }

    /// Whether it was Docker's lack of rights to set limits that kept a container from starting; from then on none are asked for.
    fn gives_up_limits(&self, error: &StartError) -> bool {
        let refused = matches!(
            error,
            StartError::Runtime(RuntimeError::Refused { message, .. }) if message.contains("error setting rlimit")
        );
        if refused && !self.files_unlimited.swap(true, Ordering::Relaxed) {
            tracing::warn!("docker may not set the limit of open files here; containers get docker's own limit");
        }
        refused
    }

    async fn create(&self, spec: &InstanceSpec) -> Result<ContainerId, Error> {
        let limit_files = !self.files_unlimited.load(Ordering::Relaxed);
        let options = CreateContainerOptionsBuilder::new()
            .name(&spec.name.to_string())
            .build();
        let created = self
            .docker
            .create_container(Some(options), create_body(&self.engine, spec, limit_files))
            .await?;
        for warning in &created.warnings {
            tracing::debug!(instance = %spec.instance, warning, "docker warned while creating a container");
        }
        Ok(ContainerId::new(created.id))
    }

    /// Starts a container that exists. One that this very call made is removed again when it cannot be started: it would hold the
    /// name.
    async fn start_created(
        &self,
        spec: &InstanceSpec,
        container: ContainerId,
        ours: bool,
    ) -> Result<Started, StartError> {
        if let Err(error) = self.docker.start_container(container.as_str(), None).await {
            let start_error = start_error(spec, error);
            let broken = matches!(start_error, StartError::CannotExecute { .. });
            if (ours || broken)
                && let Err(error) = self.remove_container(&container).await
            {
                tracing::warn!(%container, %error, "a container that did not start could not be removed");
            }
            return Err(start_error);
        }
        let found = self
            .inspect(&container)
            .await?
            .ok_or_else(|| StartError::Runtime(RuntimeError::NoSuchContainer(container.to_string())))?;
        Ok(Started {
            address: address_of(&found),
            container,
        })
    }

    /// What holds the name: our own container of the same instance is taken over; anything else is an error. None when the name has
    /// become free meanwhile.
    async fn adopt(&self, spec: &InstanceSpec) -> Result<Option<Started>, StartError> {
        let name = spec.name.to_string();
        let Some(found) = self.inspect(&ContainerId::new(name.as_str())).await? else {
            return Ok(None);
        };
        let id = found.id.clone().unwrap_or_default();
        let labels = found.config.as_ref().and_then(|config| config.labels.as_ref());
        let instance = labels
            .filter(|labels| is_own(&self.engine, Some(labels)))
            .and_then(|labels| labels.get(labels::INSTANCE));
        if instance.map(String::as_str) != Some(spec.instance.to_string().as_str()) {
            let short = id.get(..12).unwrap_or(&id);
            let holder = instance.map_or_else(
                || format!("{short}, which is not Windlass's"),
                |instance| format!("{short} of the instance {instance}"),
            );
            return Err(StartError::NameTaken { name, holder });
        }
        if was_never_started(&found) {
            return self.start_created(spec, ContainerId::new(id), false).await.map(Some);
        }
        Ok(Some(Started {
            address: address_of(&found),
            container: ContainerId::new(id),
        }))
    }
}

fn was_never_started(found: &ContainerInspectResponse) -> bool {
    found.state.as_ref().and_then(|state| state.status) == Some(ContainerStateStatusEnum::CREATED)
}

fn is_name_conflict(error: &Error) -> bool {
    status(error) == Some(409) && message(error).contains("already in use")
}

fn create_error(spec: &InstanceSpec, error: Error) -> StartError {
    if is_missing(&error) && message(&error).to_ascii_lowercase().contains("no such image") {
        StartError::ImageMissing(spec.image.clone())
    } else {
        start_error(spec, error)
    }
}

fn start_error(spec: &InstanceSpec, error: Error) -> StartError {
    let words = message(&error);
    if is_missing(&error) && words.contains("network") {
        return StartError::NetworkMissing(spec.network.clone());
    }
    match exit_of_refused_command(words) {
        Some(code) => StartError::CannotExecute {
            exit: Exit {
                code,
                oom_killed: false,
            },
            message: words.to_owned(),
        },
        None => StartError::Runtime(runtime_error(START, error)),
    }
}

/// The runtime's refusals that are about the app's command, user or directory: 127 for what is not there, 126 for what may not be
/// executed, as shells have it.
fn exit_of_refused_command(words: &str) -> Option<i64> {
    let about_the_app = words.contains("exec: ")
        || words.contains("exec /")
        || words.contains("unable to find user")
        || words.contains("no matching entries in")
        || words.contains("chdir to cwd")
        || words.contains("No command specified")
        || words.contains("no command specified");
    let not_there = words.contains("executable file not found")
        || words.contains("no such file or directory")
        || words.contains("ommand specified");
    about_the_app.then_some(if not_there { 127 } else { 126 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::tests::spec;

    fn refused(status_code: u16, message: &str) -> Error {
        Error::DockerResponseServerError {
            status_code,
            message: message.to_owned(),
        }
    }

    #[test]
    fn a_missing_program_is_the_apps_fault() {
        let words = "OCI runtime create failed: runc create failed: unable to start container process: exec: \"nope\": \
                     executable file not found in $PATH: unknown";
        let error = start_error(&spec(), refused(400, words));
        assert!(
            matches!(
                error,
                StartError::CannotExecute {
                    exit: Exit { code: 127, .. },
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn a_program_that_may_not_be_executed_is_told_apart() {
        let words = "OCI runtime create failed: exec: \"/app/run\": permission denied: unknown";
        let error = start_error(&spec(), refused(400, words));
        assert!(
            matches!(
                error,
                StartError::CannotExecute {
                    exit: Exit { code: 126, .. },
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn a_fault_of_the_machine_is_not_blamed_on_the_app() {
        let words = "OCI runtime create failed: mkdir /sys/fs/cgroup/x: cannot allocate memory: unknown";
        let error = start_error(&spec(), refused(500, words));
        assert!(
            matches!(error, StartError::Runtime(RuntimeError::Refused { status: 500, .. })),
            "{error}"
        );
    }

    #[test]
    fn a_missing_image_and_a_missing_network_are_told_apart() {
        let image = create_error(&spec(), refused(404, "No such image: windlass/shop:x"));
        assert!(matches!(image, StartError::ImageMissing(_)), "{image}");
        let network = start_error(&spec(), refused(404, "network windlass-shop not found"));
        assert!(matches!(network, StartError::NetworkMissing(_)), "{network}");
    }
}
