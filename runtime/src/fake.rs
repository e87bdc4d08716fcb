//! A runtime in memory, for tests of what is built on the port. It has behaviour and no script of calls: images and command
//! lines are given a [`Behaviour`], and what is started behaves so. Instances that listen do so for real, on addresses of
//! 127.0.0.0/8, so that probes and routers can reach them.
//!
//! It is held to the real driver by [`crate::conformance`].

mod behaviour;
mod container;
mod runtime;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use chrono::Utc;
use ipnet::Ipv4Net;
use tokio::sync::broadcast;
use windlass_domain::{AppId, DeploymentId};

pub use behaviour::{Behaviour, Listen};

use crate::{AppImage, ContainerId, InstanceSpec, NetworkSpec, RuntimeEvent};
use container::Container;

/// How many events a slow subscriber may be behind.
const EVENTS_KEPT: usize = 1024;

/// A runtime in memory. Cheap to clone; clones share their containers.
#[derive(Clone)]
pub struct FakeRuntime {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    events: broadcast::Sender<RuntimeEvent>,
}

#[derive(Default)]
struct State {
    lines: HashMap<String, Behaviour>,
    images: BTreeMap<String, Image>,
    networks: BTreeMap<String, NetworkSpec>,
    taken_subnets: Vec<Ipv4Net>,
    containers: BTreeMap<ContainerId, Arc<Container>>,
    foreign: BTreeSet<String>,
    unreachable: bool,
    made: u32,
}

struct Image {
    app: Option<AppId>,
    about: AppImage,
    behaviour: Behaviour,
}

impl Default for FakeRuntime {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeRuntime {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                events: broadcast::channel(EVENTS_KEPT).0,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An image; `app` and `deployment` are its labels. What is started from it without a command behaves as `behaviour`.
    pub fn add_image(
        &self,
        reference: &str,
        app: Option<AppId>,
        deployment: Option<DeploymentId>,
        behaviour: Behaviour,
    ) {
        let mut state = self.state();
        state.made += 1;
        let about = AppImage {
            id: format!("sha256:{:064x}", state.made),
            references: vec![reference.to_owned()],
            deployment,
            created_at: Some(Utc::now()),
            size_bytes: 1024,
        };
        state
            .images
            .insert(reference.to_owned(), Image { app, about, behaviour });
    }

    /// What is started with this shell line behaves as `behaviour`, whatever its image.
    pub fn add_line(&self, line: &str, behaviour: Behaviour) {
        self.state().lines.insert(line.to_owned(), behaviour);
    }

    /// Somebody else's container of this name.
    pub fn add_foreign(&self, name: &str) -> ContainerId {
        self.state().foreign.insert(name.to_owned());
        ContainerId::new(name)
    }

    /// Whether somebody else's container is still there.
    pub fn has_foreign(&self, container: &ContainerId) -> bool {
        self.state().foreign.contains(container.as_str())
    }

    /// Somebody else's network.
    pub fn take_subnet(&self, subnet: Ipv4Net) {
        self.state().taken_subnets.push(subnet);
    }

    /// From now on every request fails as if the runtime were down (containers go on), or works again.
    pub fn set_unreachable(&self, unreachable: bool) {
        self.state().unreachable = unreachable;
    }

    /// From now on no program of a gate is run any more, as after a restart of some versions of Docker; until somebody wakes it.
    pub fn forget_gates(&self) {
        for container in self.state().containers.values() {
            container.asleep.store(true, Ordering::Relaxed);
        }
    }

    /// Makes a container without starting it, as a killed worker may leave it.
    pub fn create_only(&self, spec: &InstanceSpec) -> ContainerId {
        self.insert(&mut self.state(), spec, Behaviour::default()).id.clone()
    }

    fn insert(&self, state: &mut State, spec: &InstanceSpec, behaviour: Behaviour) -> Arc<Container> {
        state.made += 1;
        let id = ContainerId::new(format!("{:064x}", state.made));
        let container = Arc::new(Container::new(id.clone(), spec, behaviour, self.shared.events.clone()));
        state.containers.insert(id, Arc::clone(&container));
        container
    }
}
