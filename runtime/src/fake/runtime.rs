use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, stream, stream::BoxStream};
use tokio::sync::broadcast::error::RecvError;
use windlass_domain::{AppId, release::ProcessCommand};

use super::{FakeRuntime, State, container::Container};
use crate::{
    AppImage, ContainerId, ContainerState, EventKind, Exit, Glimpse, InstanceSpec, LogsFrom, NetworkError, NetworkSpec,
    Observed, RunLogLine, Runtime, RuntimeError, RuntimeEvent, RuntimeInfo, Scope, StartError, Started,
};

const KILLED: Exit = Exit {
    code: 137,
    oom_killed: false,
};
const TERMINATED: Exit = Exit {
    code: 143,
    oom_killed: false,
};

impl FakeRuntime {
    fn reachable(&self) -> Result<(), RuntimeError> {
        if self.state().unreachable {
            Err(RuntimeError::Unreachable("the fake was told to be unreachable".into()))
        } else {
            Ok(())
        }
    }

    /// One of our own containers; none if it is gone, an error if it is somebody else's.
    fn own(&self, container: &ContainerId) -> Result<Option<Arc<Container>>, RuntimeError> {
        self.reachable()?;
        let state = self.state();
        if state.foreign.contains(container.as_str()) {
            return Err(RuntimeError::NoSuchContainer(container.to_string()));
        }
        Ok(state.containers.get(container).cloned())
    }

    fn own_or_missing(&self, container: &ContainerId) -> Result<Arc<Container>, RuntimeError> {
        self.own(container)?
            .ok_or_else(|| RuntimeError::NoSuchContainer(container.to_string()))
    }

    /// The container to start: a new one, or that of an earlier attempt.
    fn make(&self, spec: &InstanceSpec) -> Result<Arc<Container>, StartError> {
        self.reachable()?;
        let mut state = self.state();
        if let Some(held) = holder(&state, spec) {
            return held;
        }
        let image = state
            .images
            .get(&spec.image)
            .ok_or_else(|| StartError::ImageMissing(spec.image.clone()))?;
        if !state.networks.contains_key(&spec.network) {
            return Err(StartError::NetworkMissing(spec.network.clone()));
        }
        let behaviour = match &spec.command {
            Some(ProcessCommand::Shell(line)) => state.lines.get(line).unwrap_or(&image.behaviour),
            _ => &image.behaviour,
        }
        .clone();
        Ok(self.insert(&mut state, spec, behaviour))
    }
}

fn holder(state: &State, spec: &InstanceSpec) -> Option<Result<Arc<Container>, StartError>> {
    let name = spec.name.to_string();
    let taken = |holder: String| {
        Some(Err(StartError::NameTaken {
            name: name.clone(),
            holder,
        }))
    };
    if state.foreign.contains(&name) {
        return taken("which is not Windlass's".to_owned());
    }
    let held = state
        .containers
        .values()
        .find(|container| container.spec.name == spec.name)?;
    if held.spec.instance == spec.instance {
        Some(Ok(Arc::clone(held)))
    } else {
        taken(format!("of the instance {}", held.spec.instance))
    }
}

#[async_trait]
impl Runtime for FakeRuntime {
    async fn info(&self) -> Result<RuntimeInfo, RuntimeError> {
        self.reachable()?;
        Ok(RuntimeInfo {
            name: "fake".to_owned(),
            version: "0".to_owned(),
            api_version: "0".to_owned(),
            cgroup_version: None,
            live_restore: false,
            cpus: 1,
            memory_bytes: 1 << 30,
        })
    }

    async fn ensure_network(&self, network: &NetworkSpec) -> Result<(), NetworkError> {
        self.reachable()?;
        let mut state = self.state();
        if let Some(there) = state.networks.get(&network.name) {
            return if there.app == network.app {
                Ok(())
            } else {
                Err(NetworkError::NameTaken(network.name.clone()))
            };
        }
        let overlap = |other: &ipnet::Ipv4Net| other.contains(&network.subnet) || network.subnet.contains(other);
        let taken = state.networks.values().map(|other| &other.subnet);
        if taken.chain(&state.taken_subnets).any(overlap) {
            return Err(NetworkError::Overlap(network.subnet));
        }
        state.networks.insert(network.name.clone(), network.clone());
        Ok(())
    }

    async fn remove_network(&self, app: AppId) -> Result<(), RuntimeError> {
        self.reachable()?;
        self.state().networks.retain(|_, network| network.app != app);
        Ok(())
    }

    async fn start(&self, spec: &InstanceSpec) -> Result<Started, StartError> {
        let container = self.make(spec)?;
        if container.live.borrow().state == ContainerState::Created {
            container.start().await;
        }
        let address = container.live.borrow().address;
        Ok(Started {
            container: container.id.clone(),
            address,
        })
    }

    async fn wake_gate(&self, container: &ContainerId) -> Result<(), RuntimeError> {
        if let Some(container) = self.own(container)? {
            container.asleep.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn glance(&self) -> Result<Vec<Glimpse>, RuntimeError> {
        let seen = self.observe(Scope::All).await?;
        let glimpse = |seen: Observed| Glimpse {
            instance: seen.instance,
            role: seen.role,
            app: seen.app,
            running: seen.state.is_running(),
        };
        Ok(seen.into_iter().map(glimpse).collect())
    }

    async fn observe(&self, scope: Scope) -> Result<Vec<Observed>, RuntimeError> {
        self.reachable()?;
        let state = self.state();
        let mut observed: Vec<Observed> = state
            .containers
            .values()
            .filter(|container| match scope {
                Scope::All => true,
                Scope::App(app) => container.spec.app == app,
            })
            .map(|container| container.observed())
            .collect();
        observed.sort_by(|a, b| (&a.name, a.instance).cmp(&(&b.name, b.instance)));
        Ok(observed)
    }

    async fn stop(&self, container: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        let Some(container) = self.own(container)? else {
            return Ok(());
        };
        if !container.behaviour.ignores_sigterm {
            container.end(TERMINATED);
            return Ok(());
        }
        let mut live = container.live.subscribe();
        let ended = live.wait_for(|live| !live.state.is_running());
        // Neither outcome matters: what runs after the grace is killed.
        let _ = tokio::time::timeout(grace, ended).await.is_ok();
        container.end(KILLED);
        Ok(())
    }

    async fn remove(&self, container: &ContainerId) -> Result<(), RuntimeError> {
        if let Some(container) = self.own(container)? {
            container.end(KILLED);
            if self.state().containers.remove(&container.id).is_some() {
                container.emit(EventKind::Removed);
            }
        }
        Ok(())
    }

    async fn wait(&self, container: &ContainerId) -> Result<Exit, RuntimeError> {
        let container = self.own_or_missing(container)?;
        let mut live = container.live.subscribe();
        let ended = live
            .wait_for(|live| live.state.exit().is_some())
            .await
            .map_err(|error| RuntimeError::Unreachable(Box::new(error)))?;
        ended
            .state
            .exit()
            .ok_or_else(|| RuntimeError::NoSuchContainer(container.id.to_string()))
    }

    fn logs(&self, container: &ContainerId, from: LogsFrom) -> BoxStream<'static, Result<RunLogLine, RuntimeError>> {
        match self.own_or_missing(container) {
            Ok(container) => read(container, from),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn listening(&self, container: &ContainerId) -> Result<Vec<SocketAddr>, RuntimeError> {
        let container = self.own_or_missing(container)?;
        let sockets = container.live.borrow().sockets.clone();
        Ok(sockets)
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError> {
        self.reachable()?;
        let events = self.shared.events.subscribe();
        Ok(stream::unfold(events, |mut events| async move {
            match events.recv().await {
                Ok(event) => Some((Ok(event), events)),
                Err(RecvError::Lagged(_)) => Some((Err(RuntimeError::Unreachable("events were lost".into())), events)),
                Err(RecvError::Closed) => None,
            }
        })
        .boxed())
    }

    async fn images(&self, app: AppId) -> Result<Vec<AppImage>, RuntimeError> {
        self.reachable()?;
        let state = self.state();
        let mut images: Vec<AppImage> = state
            .images
            .values()
            .filter(|image| image.app == Some(app))
            .map(|image| image.about.clone())
            .collect();
        images.sort_by_key(|image| std::cmp::Reverse(image.created_at));
        Ok(images)
    }

    async fn remove_image(&self, reference: &str) -> Result<(), RuntimeError> {
        self.reachable()?;
        let mut state = self.state();
        if state.images.get(reference).is_none_or(|image| image.app.is_none()) {
            return Ok(());
        }
        if state
            .containers
            .values()
            .any(|container| container.spec.image == reference)
        {
            return Err(RuntimeError::InUse(reference.to_owned()));
        }
        state.images.remove(reference);
        Ok(())
    }

    async fn apps(&self) -> Result<Vec<AppId>, RuntimeError> {
        self.reachable()?;
        let state = self.state();
        let containers = state.containers.values().map(|container| container.spec.app);
        let networks = state.networks.values().map(|network| network.app);
        let images = state.images.values().filter_map(|image| image.app);
        let apps: BTreeSet<AppId> = containers.chain(networks).chain(images).collect();
        Ok(apps.into_iter().collect())
    }

    async fn remove_app(&self, app: AppId) -> Result<(), RuntimeError> {
        for observed in self.observe(Scope::App(app)).await? {
            self.remove(&observed.container).await?;
        }
        self.remove_network(app).await?;
        for image in self.images(app).await? {
            for reference in &image.references {
                self.remove_image(reference).await?;
            }
        }
        Ok(())
    }
}

fn read(container: Arc<Container>, from: LogsFrom) -> BoxStream<'static, Result<RunLogLine, RuntimeError>> {
    let skipped = {
        let live = container.live.borrow();
        let tail = from.tail.map_or(usize::MAX, |lines| lines as usize);
        let old = |line: &RunLogLine| from.since.is_some_and(|since| line.at <= since);
        live.lines
            .partition_point(old)
            .max(live.lines.len().saturating_sub(tail))
    };
    let live = container.live.subscribe();
    stream::unfold(
        (live, skipped, container),
        move |(mut live, next, container)| async move {
            let line = {
                let ready = live.wait_for(|live| live.lines.len() > next || !from.follow || !live.state.is_running());
                ready.await.ok()?.lines.get(next).cloned()?
            };
            Some((Ok(line), (live, next + 1, container)))
        },
    )
    .boxed()
}
