//! What is there: containers by label, each with its identity and state.

use std::net::IpAddr;

use bollard::{
    models::{
        ContainerInspectResponse, ContainerState as DockerState, ContainerStateStatusEnum, ContainerSummary,
        ContainerSummaryStateEnum, HealthStatusEnum,
    },
    query_parameters::ListContainersOptionsBuilder,
};
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use windlass_runtime::{ContainerId, ContainerState, Exit, Glimpse, Health, Observed, RuntimeError, Scope};

use crate::{
    DockerRuntime,
    fault::runtime_error,
    labelled::{filter, identity},
};

/// How many containers are inspected at the same time.
const AT_ONCE: usize = 8;

impl DockerRuntime {
    async fn list(&self, scope: Scope) -> Result<Vec<ContainerSummary>, RuntimeError> {
        let app = match scope {
            Scope::All => None,
            Scope::App(app) => Some(app),
        };
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filter(&self.engine, app))
            .build();
        let listed = self.docker.list_containers(Some(options)).await;
        listed.map_err(|error| runtime_error("list containers", error))
    }

    pub(crate) async fn glance_at_containers(&self) -> Result<Vec<Glimpse>, RuntimeError> {
        let glimpse = |listed: ContainerSummary| {
            let who = listed.labels.as_ref().and_then(identity)?;
            Some(Glimpse {
                instance: who.instance,
                role: who.role,
                app: who.app,
                running: listed.state == Some(ContainerSummaryStateEnum::RUNNING),
            })
        };
        Ok(self.list(Scope::All).await?.into_iter().filter_map(glimpse).collect())
    }

    pub(crate) async fn observe_containers(&self, scope: Scope) -> Result<Vec<Observed>, RuntimeError> {
        let listed = self.list(scope).await?;
        // A list has neither exit codes nor times, so each is inspected; what is removed meanwhile is not there.
        let mut observed: Vec<Observed> = stream::iter(listed.into_iter().filter_map(|container| container.id))
            .map(|id| async move { self.inspect(&ContainerId::new(id)).await })
            .buffer_unordered(AT_ONCE)
            .try_filter_map(|found| async move { Ok(found.and_then(observed)) })
            .try_collect()
            .await?;
        observed.sort_by(|a, b| (&a.name, a.instance).cmp(&(&b.name, b.instance)));
        Ok(observed)
    }
}

/// What Docker says of a container; none (and a warning) if its labels cannot be read.
fn observed(found: ContainerInspectResponse) -> Option<Observed> {
    let state = state_of(found.state.as_ref());
    let address = address_of(&found);
    let id = found.id?;
    let config = found.config.unwrap_or_default();
    let Some(who) = config.labels.as_ref().and_then(identity) else {
        tracing::warn!(
            container = id,
            "a container of this engine has labels that cannot be read"
        );
        return None;
    };
    Some(Observed {
        container: ContainerId::new(id),
        instance: who.instance,
        name: who.name,
        role: who.role,
        app: who.app,
        release: who.release,
        deployment: who.deployment,
        restart_seq: who.restart_seq,
        port: who.port,
        health: found.state.as_ref().and_then(health_of),
        state,
        address,
        created_at: found.created,
        started_at: found.state.as_ref().and_then(|state| time(state.started_at.as_deref())),
        image: config.image.unwrap_or_default(),
    })
}

fn state_of(state: Option<&DockerState>) -> ContainerState {
    let Some(state) = state else {
        return ContainerState::Dead;
    };
    match state.status.unwrap_or(ContainerStateStatusEnum::EMPTY) {
        ContainerStateStatusEnum::CREATED => ContainerState::Created,
        ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::PAUSED => ContainerState::Running,
        ContainerStateStatusEnum::RESTARTING => ContainerState::Restarting,
        ContainerStateStatusEnum::EXITED => ContainerState::Exited {
            exit: exit_of(state),
            finished_at: time(state.finished_at.as_deref()),
        },
        _ => ContainerState::Dead,
    }
}

/// None unless it runs and has a check.
fn health_of(state: &DockerState) -> Option<Health> {
    if !state.running.unwrap_or(false) {
        return None;
    }
    match state.health.as_ref()?.status? {
        HealthStatusEnum::STARTING => Some(Health::Starting),
        HealthStatusEnum::HEALTHY => Some(Health::Healthy),
        HealthStatusEnum::UNHEALTHY => Some(Health::Unhealthy),
        HealthStatusEnum::NONE | HealthStatusEnum::EMPTY => None,
    }
}

/// How a container ended.
pub(crate) fn exit_of(state: &DockerState) -> Exit {
    Exit {
        code: state.exit_code.unwrap_or(0),
        oom_killed: state.oom_killed.unwrap_or(false),
    }
}

/// The address in the container's (only) network; none while it does not run.
pub(crate) fn address_of(found: &ContainerInspectResponse) -> Option<IpAddr> {
    let networks = found.network_settings.as_ref()?.networks.as_ref()?;
    // A Traefik or a person may have joined it to more networks; its own is the one that it was made for.
    let own = found.host_config.as_ref().and_then(|host| host.network_mode.as_ref());
    own.and_then(|name| networks.get(name))
        .or_else(|| networks.values().next())?
        .ip_address
        .as_ref()?
        .parse()
        .ok()
}

/// Docker writes the year 1 for what has not happened.
pub(crate) fn time(text: Option<&str>) -> Option<DateTime<Utc>> {
    let at: DateTime<Utc> = text?.parse().ok()?;
    (at.timestamp() > 0).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_happened_has_no_time() {
        assert_eq!(time(Some("0001-01-01T00:00:00Z")), None);
        assert!(time(Some("2026-11-21T14:00:00.123456789Z")).is_some());
    }

    #[test]
    fn an_end_keeps_its_code_and_whether_memory_ran_out() {
        let state = DockerState {
            status: Some(ContainerStateStatusEnum::EXITED),
            exit_code: Some(137),
            oom_killed: Some(true),
            ..Default::default()
        };
        let exit = state_of(Some(&state)).exit().unwrap();
        assert_eq!(
            exit,
            Exit {
                code: 137,
                oom_killed: true
            }
        );
    }
}
