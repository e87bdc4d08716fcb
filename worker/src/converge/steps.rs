//! Acts: each step of a plan, and the rows that say it was done.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use futures::future::try_join_all;
use windlass_converge::{Fault, Step};
use windlass_domain::{Failure, InstanceId, InstanceName, InstanceState, ProcessType, ReleaseId, Secret, Upstream};
use windlass_router_labels::TraefikTarget;
use windlass_runtime::{
    ContainerId, InstanceSpec, LogsFrom, NotReady, Observed as Seen, ProbeResult, Role, Runtime, StartError, Symptoms,
    diagnose::{self, diagnose},
    probe,
};
use windlass_store::{AppWork, InstanceEnd, InstanceRow, NewInstance, ReleaseRow};

use super::look::Look;
use crate::{
    context::{Shared, platform_env},
    network, routes,
};

/// How long one round waits for an instance to become healthy before the others get a look.
const PROBE_SLICE: Duration = Duration::from_millis(500);
/// A process that serves nothing counts as healthy when it has run this long.
const SETTLED: chrono::Duration = chrono::Duration::seconds(1);

/// Does the steps of one round: what takes time (starts, probes) side by side.
pub(super) async fn perform(shared: &Arc<Shared>, work: &AppWork, seen: &Look, steps: Vec<Step>) -> anyhow::Result<()> {
    let round = Round { shared, work, seen };
    try_join_all(steps.into_iter().map(|step| round.step(step))).await?;
    Ok(())
}

struct Round<'a> {
    shared: &'a Arc<Shared>,
    work: &'a AppWork,
    seen: &'a Look,
}

impl Round<'_> {
    async fn step(&self, step: Step) -> anyhow::Result<()> {
        tracing::debug!(app = %self.work.app.name, ?step, "converge");
        match step {
            Step::Start {
                release,
                process,
                n,
                restart_seq,
            } => self.start(release, &process, n, restart_seq).await,
            Step::Probe(instance) => self.probe(instance).await,
            Step::FailCandidate {
                release,
                instance,
                fault,
            } => self.fail_candidate(release, instance, fault).await,
            Step::Promote(release) => self.promote(release).await,
            Step::Replace(instance) => self.replace(instance).await,
            Step::Drain(instance) => self.drain(instance).await,
            Step::Stop(instance) => self.stop(instance).await,
        }
    }

    fn release(&self, id: ReleaseId) -> anyhow::Result<&ReleaseRow> {
        let mut releases = self.work.live.iter().chain(&self.work.candidate);
        releases
            .find(|release| release.id == id)
            .context("the plan names a release that is neither live nor candidate")
    }

    fn row(&self, id: InstanceId) -> anyhow::Result<&InstanceRow> {
        self.work
            .instances
            .iter()
            .find(|row| row.id == id)
            .context("the plan names an instance that has no row")
    }

    fn container(&self, row: &InstanceRow) -> Option<ContainerId> {
        let seen = self.seen.containers.get(&row.id).map(|seen| seen.container.clone());
        seen.or_else(|| row.container.clone().map(ContainerId::new))
    }

    async fn start(&self, release: ReleaseId, process: &ProcessType, n: u32, restart_seq: i32) -> anyhow::Result<()> {
        let release = self.release(release)?;
        let new = NewInstance {
            id: InstanceId::generate(),
            app: self.work.app.id,
            release: release.id,
            process: process.clone(),
            n,
            restart_seq,
        };
        let network = network::ensure(self.shared, self.work.app.id, &self.work.app.name, self.work.subnet).await?;
        let mut row = self.shared.store.insert_instance(new).await?;
        let spec = instance_spec(self.shared, (self.work, release), &row, network).await?;
        match self.shared.runtime.start(&spec).await {
            Ok(started) => {
                let address = started
                    .address
                    .zip(spec.port)
                    .map(|(ip, port)| SocketAddr::new(ip, port));
                let container = started.container.as_str();
                self.shared
                    .store
                    .set_instance_container(row.id, container, address)
                    .await?;
                row.container = Some(container.to_owned());
                self.shared.logs.follow(&row);
                Ok(())
            }
            Err(error) => self.could_not_start(release, &row, &spec, error).await,
        }
    }

    /// What the app is to blame for fails a candidate, or counts as a crash of a live release; the rest is tried again.
    async fn could_not_start(
        &self,
        release: &ReleaseRow,
        row: &InstanceRow,
        spec: &InstanceSpec,
        error: StartError,
    ) -> anyhow::Result<()> {
        let store = &self.shared.store;
        let is_candidate = self
            .work
            .candidate
            .as_ref()
            .is_some_and(|candidate| candidate.id == release.id);
        match error {
            StartError::CannotExecute { exit, message } => {
                let failure = diagnose::cannot_execute(&row.process, exit, &message);
                if is_candidate {
                    store.fail_candidate(self.work.app.id, release.id, &failure).await?;
                }
                let end = InstanceEnd {
                    exit_code: Some(exit.code),
                    reason: Some(failure.reason),
                };
                store.set_instance_state(row.id, InstanceState::Crashed, end).await?;
                Ok(())
            }
            StartError::ImageMissing(image) if is_candidate => {
                store
                    .fail_candidate(self.work.app.id, release.id, &image_gone(&image))
                    .await?;
                self.forget(row.id, "its image is gone").await
            }
            other => {
                // Counted as a crash, so that the next attempt backs off.
                let end = InstanceEnd {
                    exit_code: None,
                    reason: Some(other.to_string()),
                };
                store.set_instance_state(row.id, InstanceState::Crashed, end).await?;
                Err(other).with_context(|| format!("cannot start {}", spec.name))
            }
        }
    }

    async fn forget(&self, instance: InstanceId, reason: &str) -> anyhow::Result<()> {
        let end = InstanceEnd {
            exit_code: None,
            reason: Some(reason.to_owned()),
        };
        self.shared
            .store
            .set_instance_state(instance, InstanceState::Stopped, end)
            .await?;
        Ok(())
    }

    async fn probe(&self, instance: InstanceId) -> anyhow::Result<()> {
        let row = self.row(instance)?;
        let Some(seen) = self.seen.containers.get(&instance) else {
            return Ok(());
        };
        if !is_healthy(self.release(row.release)?, row, seen).await {
            return Ok(());
        }
        // A restarted container may have another address than its row.
        if let Some(address) = seen.socket().filter(|address| row.address != Some(*address)) {
            let container = seen.container.as_str();
            self.shared
                .store
                .set_instance_container(instance, container, Some(address))
                .await?;
        }
        self.shared
            .store
            .set_instance_state(instance, InstanceState::Healthy, InstanceEnd::default())
            .await?;
        let serves = self.work.live.as_ref().is_some_and(|live| live.id == row.release) && row.process.is_web();
        if serves {
            self.shared.routes.publish().await
        } else {
            Ok(())
        }
    }

    async fn fail_candidate(&self, release: ReleaseId, instance: InstanceId, fault: Fault) -> anyhow::Result<()> {
        let row = self.row(instance)?;
        let failure = diagnosis(
            self.shared,
            self.release(release)?,
            row,
            self.seen.containers.get(&instance),
        )
        .await;
        tracing::info!(app = %self.work.app.name, ?fault, reason = failure.reason, "a release cannot go live");
        self.shared
            .store
            .fail_candidate(self.work.app.id, release, &failure)
            .await?;
        Ok(())
    }

    async fn promote(&self, release: ReleaseId) -> anyhow::Result<()> {
        if self.shared.store.promote(self.work.app.id, release).await? {
            tracing::info!(app = %self.work.app.name, release = %self.release(release)?.version, "live");
        }
        self.shared.routes.publish().await
    }

    /// An instance ended that should have gone on: its row says so, its log is read to the end, its container goes.
    async fn replace(&self, instance: InstanceId) -> anyhow::Result<()> {
        let row = self.row(instance)?;
        let seen = self.seen.containers.get(&instance);
        let exit = seen.and_then(|seen| seen.state.exit());
        let reason = match (exit, seen) {
            (Some(exit), _) if exit.oom_killed => "out of memory".to_owned(),
            (Some(exit), _) => format!("exited with code {}", exit.code),
            (None, Some(_)) => "did not become healthy in time".to_owned(),
            (None, None) => "its container was removed".to_owned(),
        };
        tracing::warn!(app = %self.work.app.name, instance = %row.id, reason, "an instance is replaced");
        let end = InstanceEnd {
            exit_code: exit.map(|exit| exit.code),
            reason: Some(reason),
        };
        self.shared
            .store
            .set_instance_state(instance, InstanceState::Crashed, end)
            .await?;
        if row.process.is_web() {
            self.shared.routes.publish().await?;
        }
        if let Some(container) = self.container(row) {
            if exit.is_some() {
                self.shared.logs.finish(instance).await;
            }
            self.shared.runtime.remove(&container).await?;
        }
        Ok(())
    }

    async fn drain(&self, instance: InstanceId) -> anyhow::Result<()> {
        self.shared
            .store
            .set_instance_state(instance, InstanceState::Draining, InstanceEnd::default())
            .await?;
        self.shared.routes.publish().await
    }

    /// Stops in the background: an app may take its whole grace time, and its siblings need looking after meanwhile.
    async fn stop(&self, instance: InstanceId) -> anyhow::Result<()> {
        let row = self.row(instance)?;
        let store = &self.shared.store;
        if row.state != InstanceState::Draining {
            store
                .set_instance_state(instance, InstanceState::Draining, InstanceEnd::default())
                .await?;
        }
        if !self.shared.converger.begin_stopping(instance) {
            return Ok(());
        }
        let grace = Duration::from_secs(u64::from(self.work.app.settings.drain_seconds).max(1));
        let (shared, app, container) = (self.shared.clone(), self.work.app.id, self.container(row));
        self.shared.tasks.spawn(async move {
            if let Err(error) = stop_and_remove(&shared, instance, container, grace).await {
                tracing::warn!(%instance, error = format!("{error:#}"), "cannot stop an instance; trying again");
            }
            shared.converger.end_stopping(instance);
            shared.converger.wake(app);
        });
        Ok(())
    }
}

async fn stop_and_remove(
    shared: &Shared,
    instance: InstanceId,
    container: Option<ContainerId>,
    grace: Duration,
) -> anyhow::Result<()> {
    if let Some(container) = container {
        // At shutdown the container goes on draining by itself: the next engine finds the row and stops it.
        tokio::select! {
            () = shared.shutdown.cancelled() => return Ok(()),
            stopped = shared.runtime.stop(&container, grace) => stopped?,
        }
        shared.logs.finish(instance).await;
        shared.runtime.remove(&container).await?;
    }
    shared
        .store
        .set_instance_state(instance, InstanceState::Stopped, InstanceEnd::default())
        .await?;
    Ok(())
}

/// Waits a while for the instance to become healthy, looking often at first: a fast app should be routed fast.
async fn is_healthy(release: &ReleaseRow, row: &InstanceRow, seen: &Seen) -> bool {
    if !row.process.is_web() {
        let settled = row.created_at + SETTLED;
        let wait = (settled - chrono::Utc::now()).to_std().unwrap_or_default();
        tokio::time::sleep(wait.min(PROBE_SLICE)).await;
        return chrono::Utc::now() >= settled && seen.state.is_running();
    }
    let Some(address) = seen.socket() else { return false };
    let mut pause = Duration::from_millis(2);
    let until = tokio::time::Instant::now() + PROBE_SLICE;
    while tokio::time::Instant::now() < until {
        if probe(address, &release.settings.health).await.is_ready() {
            return true;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    false
}

/// Why an instance of a candidate does not become healthy.
async fn diagnosis(shared: &Shared, release: &ReleaseRow, row: &InstanceRow, seen: Option<&Seen>) -> Failure {
    let container = seen
        .map(|seen| seen.container.clone())
        .or_else(|| row.container.clone().map(ContainerId::new));
    let (mut last_lines, mut listening) = (Vec::new(), Vec::new());
    if let Some(container) = &container {
        last_lines = tail(&*shared.runtime, container).await;
        listening = shared.runtime.listening(container).await.unwrap_or_default();
    }
    let last_probe = last_probe(release, seen).await;
    diagnose(&Symptoms {
        process: &row.process,
        port: release.settings.port.filter(|_| row.process.is_web()),
        listening: &listening,
        exit: seen.and_then(|seen| seen.state.exit()),
        last_lines: &last_lines,
        limits: &release.settings.limits,
        health: &release.settings.health,
        last_probe: last_probe.as_ref(),
        waited: (chrono::Utc::now() - row.created_at).to_std().unwrap_or_default(),
    })
}

async fn last_probe(release: &ReleaseRow, seen: Option<&Seen>) -> Option<NotReady> {
    let address = seen.filter(|seen| seen.state.is_running())?.socket()?;
    match probe(address, &release.settings.health).await {
        ProbeResult::Ready => None,
        ProbeResult::NotYet { why } => Some(why),
    }
}

/// The last lines that a container wrote.
pub(crate) async fn tail(runtime: &dyn Runtime, container: &ContainerId) -> Vec<String> {
    use futures::StreamExt;
    let lines = runtime.logs(
        container,
        LogsFrom {
            since: None,
            follow: false,
            tail: Some(20),
        },
    );
    let lines = lines.filter_map(async |line| Some(windlass_domain::log::clean_line(&line.ok()?.text, 500)));
    tokio::time::timeout(Duration::from_secs(2), lines.collect())
        .await
        .unwrap_or_default()
}

pub(crate) fn image_gone(image: &str) -> Failure {
    Failure::new(
        windlass_domain::FailureCode::MachineLimit,
        format!("the image {image} is no longer on this machine"),
        "deploy the commit again, so that it is built anew",
    )
}

/// The container that an instance of a release runs in.
async fn instance_spec(
    shared: &Shared,
    (work, release): (&AppWork, &ReleaseRow),
    row: &InstanceRow,
    network: String,
) -> anyhow::Result<InstanceSpec> {
    let port = release.settings.port.filter(|_| row.process.is_web());
    let command = release
        .processes
        .iter()
        .find(|spec| spec.process == row.process)
        .and_then(|spec| spec.command.clone());
    let name = InstanceName {
        app: work.app.name.clone(),
        process: row.process.clone(),
        release: release.version,
        n: row.n,
    };
    let mut env = environment(shared, work, release, &row.process).await?;
    env.insert(
        "WINDLASS_INSTANCE".to_owned(),
        Secret::new(format!("{}.{}", row.process, row.n)),
    );
    if let Some(port) = port {
        env.insert("PORT".to_owned(), Secret::new(port.to_string()));
    }
    Ok(InstanceSpec {
        instance: row.id,
        role: Role::Instance,
        app: work.app.id,
        release: release.id,
        deployment: Some(release.deployment),
        image: release.image_reference.clone(),
        command,
        env,
        port,
        restart_seq: row.restart_seq,
        limits: release.settings.limits.clone(),
        extra_labels: traefik_labels(shared, work, row, (port, &network))?,
        network,
        name,
        stop_grace: Duration::from_secs(release.settings.drain_seconds.into()),
    })
}

/// Config vars of the release's version, and what Windlass itself tells an app about it.
pub(crate) async fn environment(
    shared: &Shared,
    work: &AppWork,
    release: &ReleaseRow,
    process: &ProcessType,
) -> anyhow::Result<BTreeMap<String, Secret<String>>> {
    let config = shared.store.config_at(work.app.id, release.config_version).await?;
    let mut env = platform_env([
        ("WINDLASS_APP", work.app.name.to_string()),
        ("WINDLASS_PROCESS", process.to_string()),
        ("WINDLASS_RELEASE", release.version.to_string()),
        (
            "WINDLASS_COMMIT",
            release.commit.as_ref().map(ToString::to_string).unwrap_or_default(),
        ),
        ("WINDLASS_URL", shared.config.app_url(&work.app.name)),
    ]);
    env.extend(config.vars.into_iter().map(|(key, value)| (key.to_string(), value)));
    Ok(env)
}

/// The labels by which a Traefik routes to this container, and by which its route can be rebuilt.
fn traefik_labels(
    shared: &Shared,
    work: &AppWork,
    row: &InstanceRow,
    (port, network): (Option<u16>, &str),
) -> anyhow::Result<BTreeMap<String, String>> {
    let Some(port) = port else { return Ok(BTreeMap::new()) };
    let upstream = Upstream {
        instance: row.id,
        address: SocketAddr::from(([0, 0, 0, 0], port)),
    };
    let route = routes::route(&shared.config, work.app.name.clone(), vec![upstream])?;
    let target = TraefikTarget {
        port,
        network: Some(network.to_owned()),
        entrypoints: shared.edge.entrypoints(),
    };
    windlass_router_labels::to_labels(&route, &target).context("the route cannot be written as labels")
}
