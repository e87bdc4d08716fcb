//! A Traefik that reads containers from Docker.
//!
//! It shows no container whose Docker health is not `healthy`, so health is how it is told who takes requests: every instance has a
//! gate ([`windlass_gate`]), and the gates of a table's instances are open. Nothing is kept here that is not in those files and in
//! Docker, so another engine goes on where this one ended.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use tokio::time::{Instant, sleep};
use windlass_domain::{AppName, InstanceId, RouteTable};
use windlass_gate::{Gates, State, Turn};
use windlass_runtime::{Gate, Health, Observed, Runtime, Scope};
use windlass_worker::{Edge, EdgeError, Exception, Traffic};

use super::gates::sweep;

/// After it acted on one change, Traefik's Docker provider lets 2 s pass before it acts on the next; the rest is a margin.
const PROVIDER_THROTTLE: Duration = Duration::from_millis(2500);
/// At each change Traefik looks at every container, one after the other: about 1 ms each, and several changes may be waiting.
const LOOK_AT_ONE: Duration = Duration::from_millis(10);
/// How long Docker may take to say what a gate says. Usually half a second.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often Docker is asked meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// A Traefik with the Docker provider.
pub struct TraefikEdge {
    entrypoints: Vec<String>,
    gates: Gates,
    runtime: Arc<dyn Runtime>,
    throttle: Duration,
    memory: Mutex<Memory>,
}

/// What only saves time.
#[derive(Default)]
struct Memory {
    /// The table that was applied last.
    applied: RouteTable,
    /// Who did not change within [`PATIENCE`]; they are not waited for again.
    late: HashSet<InstanceId>,
}

impl TraefikEdge {
    /// For these entry points of a Traefik, with these gates.
    pub fn new(entrypoints: Vec<String>, gates: Gates, runtime: Arc<dyn Runtime>) -> Self {
        Self {
            entrypoints,
            gates,
            runtime,
            throttle: PROVIDER_THROTTLE,
            memory: Mutex::default(),
        }
    }

    /// What is known of instances now: those that run.
    async fn look(&self, scope: Scope) -> Result<Vec<Observed>, EdgeError> {
        let mut seen = self.runtime.observe(scope).await.map_err(unseen)?;
        seen.retain(|container| container.state.is_running());
        Ok(seen)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another worker may be at it.
    async fn turn_alone(&self) -> Result<Turn, EdgeError> {
        loop {
            if let Some(turn) = self.gates.turn_alone().map_err(unwritten)? {
                return Ok(turn);
            }
            sleep(PAUSE).await;
        }
    }

    fn has_gate(&self, container: &Observed) -> bool {
        matches!(self.gates.state(&container.instance.to_string()), Ok(Some(_)))
    }

    /// Moves a gate, unless it already is as wanted and Docker says so.
    fn turn(&self, container: &Observed, open: bool) -> io::Result<()> {
        let name = container.instance.to_string();
        let Some(state) = self.gates.state(&name)? else {
            return Ok(());
        };
        let wanted = State {
            open,
            told: says(container, open),
        };
        if state == wanted {
            return Ok(());
        }
        self.gates.set(&name, wanted)
    }

    /// Waits until Docker says of all of these what their gates say. Gives back those of which it did not; who is gone by then does
    /// not count.
    async fn until_told(&self, mut waiting: Vec<Observed>, open: bool) -> Result<Vec<Observed>, EdgeError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let apps: BTreeSet<_> = waiting.iter().map(|container| container.app).collect();
            let mut still = Vec::new();
            for app in apps {
                let seen = self.look(Scope::App(app)).await?;
                let asked = seen
                    .into_iter()
                    .filter(|now| waiting.iter().any(|one| one.instance == now.instance));
                for container in asked {
                    // What comes of a gate that cannot be written is seen by what Docker goes on to say.
                    let _ = self.turn(&container, open);
                    if !says(&container, open) {
                        still.push(container);
                    }
                }
            }
            waiting = still;
            let known = |memory: &Memory| waiting.iter().all(|one| memory.late.contains(&one.instance));
            if Instant::now() >= deadline || known(&self.memory()) {
                return Ok(waiting);
            }
            sleep(PAUSE).await;
        }
    }

    /// Turns the gates of these and waits until Docker says so. Gives back those of which it does not.
    async fn move_gates(&self, containers: &[&Observed], open: bool) -> Result<Vec<Observed>, EdgeError> {
        for container in containers {
            if let Err(error) = self.turn(container, open)
                && !self.memory().late.contains(&container.instance)
            {
                tracing::warn!(name = %container.name, open, %error, "a gate cannot be moved");
            }
        }
        let behind = containers.iter().copied().filter(|container| !says(container, open));
        let mut late = self.until_told(behind.cloned().collect(), open).await?;
        if late
            .iter()
            .any(|container| !self.memory().late.contains(&container.instance))
        {
            for container in &late {
                if let Err(error) = self.runtime.wake_gate(&container.container).await {
                    tracing::warn!(name = %container.name, %error, "docker cannot be made to check a gate again");
                }
            }
            late = self.until_told(late, open).await?;
        }
        for container in &late {
            if self.memory().late.insert(container.instance) {
                tracing::warn!(name = %container.name, health = ?container.health, open, "docker does not say what the gate says");
            }
        }
        Ok(late)
    }

    /// Waits until Traefik, which has so many containers to look at, has seen the last change of any of these gates. Another engine
    /// may have made it.
    async fn until_noticed(&self, containers: &[&Observed], count: usize) {
        let changes = containers
            .iter()
            .filter_map(|one| self.gates.changed(&one.instance.to_string()));
        let Some(last) = changes.max() else { return };
        // A clock that was put back must not make it wait for hours.
        let since = SystemTime::now().duration_since(last).unwrap_or_default();
        let notices = self.throttle + LOOK_AT_ONE.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        sleep(notices.saturating_sub(since)).await;
    }
}

#[async_trait]
impl Edge for TraefikEdge {
    /// Opens first, and closes only when Traefik has seen what was opened: an app must not be without an open gate in between. Where
    /// nothing new of an app can be seen, its old instances stay open.
    async fn apply(&self, table: &RouteTable) -> Result<Vec<Exception>, EdgeError> {
        let mut turn = self.turn_alone().await?;
        if !turn.begin(table.generation).map_err(unwritten)? {
            return Err(EdgeError(format!("has a newer table than {}", table.generation)));
        }
        let routed = routed(table);
        let seen = self.look(Scope::All).await?;
        let (wanted, others): (Vec<&Observed>, Vec<&Observed>) = seen
            .iter()
            .partition(|container| routed.contains_key(&container.instance));
        let gated = wanted.iter().copied().filter(|container| container.health.is_some());
        let gated: Vec<&Observed> = gated.collect();
        let hidden = self.move_gates(&gated, true).await?;
        self.until_noticed(&wanted, seen.len()).await;

        let is_hidden = |container: &Observed| hidden.iter().any(|one| one.instance == container.instance);
        let served: HashSet<&AppName> = wanted
            .iter()
            .filter(|container| !is_hidden(container))
            .map(|container| &container.name.app)
            .collect();
        let unserved: HashSet<&AppName> = routed.values().copied().filter(|app| !served.contains(app)).collect();
        let leaving = others.into_iter().filter(|container| {
            // One that is starting was never shown.
            let was_shown = !matches!(container.health, None | Some(Health::Starting));
            was_shown && self.has_gate(container)
        });
        let (kept, leaving): (Vec<&Observed>, Vec<&Observed>) =
            leaving.partition(|container| unserved.contains(&container.name.app));
        let shown = self.move_gates(&leaving, false).await?;
        self.until_noticed(&leaving, seen.len()).await;

        let mut exceptions: Vec<Exception> = hidden.iter().chain(&shown).map(disagreement).collect();
        let kept = kept.into_iter().filter(|container| says(container, true));
        exceptions.extend(kept.map(kept_open));
        let mut memory = self.memory();
        let late = |instance: &InstanceId| exceptions.iter().any(|exception| exception.instance == *instance);
        memory.late.retain(late);
        memory.applied = table.clone();
        Ok(exceptions)
    }

    /// That of the last table, as long as Docker says what the gates say; otherwise one less, so that a table is applied again.
    async fn generation(&self) -> Result<Option<u64>, EdgeError> {
        let seen = self.runtime.observe(Scope::All).await.map_err(unseen)?;
        if let Err(error) = sweep(&self.gates, &seen) {
            tracing::warn!(%error, "gates without containers cannot be removed");
        }
        let generation = self.gates.generation().map_err(unwritten)?;
        let memory = self.memory();
        if generation != memory.applied.generation {
            return Ok(Some(generation));
        }
        let routed = routed(&memory.applied);
        let strays = |container: &&Observed| {
            let runs = container.state.is_running() && container.health.is_some();
            runs && !says(container, routed.contains_key(&container.instance))
        };
        let as_said = !seen.iter().any(|container| strays(&container));
        Ok(Some(if as_said {
            generation
        } else {
            generation.saturating_sub(1)
        }))
    }

    async fn traffic(&self) -> Result<Option<HashMap<InstanceId, Traffic>>, EdgeError> {
        // Traefik does not count by container; a drained instance gets its whole drain time.
        Ok(None)
    }

    fn gate(&self, instance: InstanceId) -> Result<Option<Gate>, EdgeError> {
        let folder = self.gates.make(&instance.to_string()).map_err(unwritten)?;
        Ok(Some(gate(folder)))
    }

    fn entrypoints(&self) -> Vec<String> {
        self.entrypoints.clone()
    }
}

/// The gate in this folder.
pub fn gate(folder: std::path::PathBuf) -> Gate {
    Gate {
        folder,
        mounted_at: windlass_gate::MOUNTED_AT.to_owned(),
        command: windlass_gate::COMMAND.map(str::to_owned).to_vec(),
    }
}

/// The instances of a table, and whose they are.
fn routed(table: &RouteTable) -> HashMap<InstanceId, &AppName> {
    let routes = table.routes.iter();
    routes
        .flat_map(|route| route.upstreams.iter().map(|upstream| (upstream.instance, &route.app)))
        .collect()
}

/// Whether Docker says of a container that it is open, or closed. One without a check is always open.
fn says(container: &Observed, open: bool) -> bool {
    matches!(container.health, None | Some(Health::Healthy)) == open
}

/// Docker does not say of this one what its gate says.
fn disagreement(container: &Observed) -> Exception {
    let (state, gate) = match container.health {
        Some(Health::Healthy) => ("still sees", "closed"),
        _ => ("does not see", "open"),
    };
    let (name, id) = (&container.name, container.container.short());
    exception(
        container,
        format!(
            "{state} {name}: its gate is to be {gate}, but Docker does not say so of its health. \
             `docker inspect --format '{{{{json .State.Health}}}}' {id}` shows what its check said, and \
             `windlass ps restart -a {app}` replaces it",
            app = name.app
        ),
    )
}

/// This one goes on taking requests, though a table does not name it.
fn kept_open(container: &Observed) -> Exception {
    let name = &container.name;
    exception(
        container,
        format!(
            "is still to see {name}, because it sees none of the instances of {} that come after it",
            name.app
        ),
    )
}

fn exception(container: &Observed, reason: String) -> Exception {
    Exception {
        instance: container.instance,
        app: container.name.app.clone(),
        reason,
    }
}

fn unseen(error: windlass_runtime::RuntimeError) -> EdgeError {
    EdgeError(format!("cannot be told whom to serve: {error}"))
}

fn unwritten(error: io::Error) -> EdgeError {
    EdgeError(format!(
        "cannot be told whom to serve, for a gate cannot be written: {error}"
    ))
}

#[cfg(test)]
mod tests;
