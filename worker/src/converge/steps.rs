//! Acts: each step of a plan, and the rows that say it was done.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use futures::{StreamExt, stream};
use tokio::time::Instant;
use windlass_converge::{Fault, Step};
use windlass_domain::{Failure, InstanceId, InstanceState, ProcessType, ReleaseId};
use windlass_runtime::{ContainerId, InstanceSpec, Observed, StartError, Started};
use windlass_store::{AppWork, InstanceEnd, InstanceRow, NewInstance, ReleaseRow};

use super::{
    container::instance_spec,
    departure::departure,
    health::{LAST_CHANCE, PROBE_SLICE, diagnosis, is_healthy},
    look::{Look, grace},
    stopping::Stopping,
};
use crate::{context::Shared, network, routes::TakenOut};

/// Does the steps of one round: what takes time (starts, probes) side by side. Returns the instances that were found healthy.
pub(super) async fn perform(
    shared: &Arc<Shared>,
    work: &AppWork,
    seen: &Look,
    steps: Vec<Step>,
) -> anyhow::Result<Vec<InstanceId>> {
    let network = if steps.iter().any(|step| matches!(step, Step::Start { .. })) {
        network::ensure(shared, work.app.id, &work.app.name, work.subnet).await
    } else {
        Ok(String::new())
    };
    let round = Round {
        shared,
        work,
        seen,
        network,
    };
    // None is given up because another failed: each ends what it began with Docker.
    let results: Vec<anyhow::Result<Option<InstanceId>>> = stream::iter(steps)
        .map(|step| round.step(step))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    results.into_iter().filter_map(Result::transpose).collect()
}

/// Steps of one app under way at a time; a large scale-up should leave Docker some room for others.
const AT_ONCE: usize = 8;

/// An edge that takes longer than this to take a table is slow to notice.
const NOTICED: Duration = Duration::from_millis(300);

/// Another worker looks after the app now: it decides anew.
const LOST: &str = "the app's lease is lost";

/// Names that are tried for one instance, and how far apart their numbers are: far enough to keep clear of its siblings.
const NAMES_TRIED: u32 = 8;
const NAME_STEP: u32 = 100;

pub(super) struct Round<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) work: &'a AppWork,
    seen: &'a Look,
    /// The app's network, if anything is started. Without one the other steps are done all the same: what ended must leave the routes.
    network: anyhow::Result<String>,
}

impl Round<'_> {
    async fn step(&self, step: Step) -> anyhow::Result<Option<InstanceId>> {
        tracing::debug!(app = %self.work.app.name, ?step, "converge");
        let done = match step {
            Step::Start {
                release,
                process,
                n,
                restart_seq,
            } => self.start(release, &process, n, restart_seq).await,
            Step::Probe(instance) => return Ok(self.probe(instance, PROBE_SLICE).await?.then_some(instance)),
            Step::FailCandidate { instance, .. } | Step::Replace(instance) if self.was_overlooked(instance).await? => {
                return Ok(Some(instance));
            }
            Step::FailCandidate {
                release,
                instance,
                fault,
            } => self.fail_candidate(release, instance, fault).await,
            Step::Admit(instance) => self.admit(instance).await,
            Step::Promote(release) => self.promote(release).await,
            Step::Replace(instance) => self.replace(instance).await,
            Step::Drain(instance) => self.drain(instance).await,
            Step::Stop(instance) => self.stop(instance).await,
        };
        done.map(|()| None)
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

    /// Hands over what the rows say now; trouble with another app is not this one's.
    async fn publish(&self) -> anyhow::Result<()> {
        self.shared.routes.publish_for(&self.work.app.name).await
    }

    /// The host that the app is asked for: many frameworks refuse any other.
    fn host(&self) -> String {
        self.shared.config.app_host(&self.work.app.name)
    }

    fn container(&self, row: &InstanceRow) -> Option<ContainerId> {
        let seen = self.seen.containers.get(&row.id).map(|seen| seen.container.clone());
        seen.or_else(|| row.container.clone().map(ContainerId::new))
    }

    /// Starts an instance. A name that is taken (by a container that is not ours, by another engine on this machine, by one of ours
    /// that is just going) is no reason to wait: names are labels, so the next number will do.
    async fn start(&self, release: ReleaseId, process: &ProcessType, n: u32, restart_seq: i32) -> anyhow::Result<()> {
        let release = self.release(release)?;
        let network = self.network.as_ref().map_err(|error| anyhow!("{error:#}"))?;
        let mut tries = (0..NAMES_TRIED).map(|step| n + step * NAME_STEP).peekable();
        while let Some(n) = tries.next() {
            let new = NewInstance {
                id: InstanceId::generate(),
                app: self.work.app.id,
                release: release.id,
                process: process.clone(),
                n,
                restart_seq,
            };
            let row = self.shared.store.insert_instance(self.shared.id, new).await?;
            let row = row.context(LOST)?;
            let spec = match instance_spec(self.shared, (self.work, release), &row, network.clone()).await {
                Ok(spec) => spec,
                Err(error) => {
                    self.crashed(row.id, (None, format!("{error:#}"))).await?;
                    return Err(error);
                }
            };
            match self.shared.runtime.start(&spec).await {
                Ok(started) => return self.started(row, &spec, &started).await,
                Err(StartError::NameTaken { name, holder }) if tries.peek().is_some() => {
                    tracing::info!(app = %self.work.app.name, name, holder, "the name is taken; taking another number");
                    self.forget(row.id, "its name was taken").await?;
                }
                Err(error) => return self.could_not_start(release, &row, &spec, error).await,
            }
        }
        Ok(())
    }

    async fn started(&self, mut row: InstanceRow, spec: &InstanceSpec, started: &Started) -> anyhow::Result<()> {
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

    /// Moves an instance to another state. False: it was moved meanwhile, or the app is in other hands; the next look decides anew.
    pub(super) async fn set(
        &self,
        instance: InstanceId,
        state: InstanceState,
        end: InstanceEnd,
    ) -> anyhow::Result<bool> {
        let store = &self.shared.store;
        Ok(store.set_instance_state(self.shared.id, instance, state, end).await?)
    }

    /// Whether it has become healthy, or does so within `patience`.
    async fn probe(&self, instance: InstanceId, patience: Duration) -> anyhow::Result<bool> {
        let row = self.row(instance)?;
        let Some(seen) = self.seen.containers.get(&instance) else {
            return Ok(false);
        };
        let (probes, of) = (&self.shared.converger.probes, (self.release(row.release)?, row));
        if !is_healthy(probes, of, (seen, self.work.clock), &self.host(), patience).await {
            return Ok(false);
        }
        let healthy = self
            .set(instance, InstanceState::Healthy, InstanceEnd::default())
            .await?;
        let serves = self.work.live.as_ref().is_some_and(|live| live.id == row.release) && row.process.is_web();
        if healthy && serves {
            self.publish().await?;
        }
        Ok(healthy)
    }

    /// Whether an instance whose time to become healthy is over has become so, and nobody saw it: while Docker or the engine was away,
    /// nobody looked.
    async fn was_overlooked(&self, instance: InstanceId) -> anyhow::Result<bool> {
        let runs = |seen: &Observed| seen.state.is_running();
        if self.row(instance)?.state != InstanceState::Starting
            || !self.seen.containers.get(&instance).is_some_and(runs)
        {
            return Ok(false);
        }
        let was_looked_at = self.shared.converger.probes.is_probed(instance);
        let patience = if was_looked_at { PROBE_SLICE } else { LAST_CHANCE };
        self.probe(instance, patience).await
    }

    async fn fail_candidate(&self, release: ReleaseId, instance: InstanceId, fault: Fault) -> anyhow::Result<()> {
        let row = self.row(instance)?;
        let failure = diagnosis(
            &*self.shared.runtime,
            self.release(release)?,
            (row, self.work.clock),
            self.seen.containers.get(&instance),
        )
        .await;
        tracing::info!(app = %self.work.app.name, ?fault, reason = failure.reason, "a release cannot go live");
        self.unfit(release, &failure).await
    }

    pub(super) async fn unfit(&self, release: ReleaseId, failure: &Failure) -> anyhow::Result<()> {
        let candidate = (self.work.app.id, release);
        self.shared
            .store
            .fail_candidate(self.shared.id, candidate, failure)
            .await?;
        Ok(())
    }

    async fn admit(&self, instance: InstanceId) -> anyhow::Result<()> {
        if self.shared.store.admit_instance(self.shared.id, instance).await? {
            self.shared.routes.publish_changed(&self.work.app.name).await?;
        }
        Ok(())
    }

    async fn promote(&self, release: ReleaseId) -> anyhow::Result<()> {
        let (app, store) = (&self.work.app, &self.shared.store);
        if !store.promote(self.shared.id, app.id, release).await? {
            return self.publish().await;
        }
        self.shared.routes.publish_changed(&app.name).await?;
        tracing::info!(app = %app.name, release = %self.release(release)?.version, "live");
        Ok(())
    }

    /// An instance ended that should have gone on: its row says so, its log is read to the end, its container goes.
    async fn replace(&self, instance: InstanceId) -> anyhow::Result<()> {
        // Marked before its row is: who finds a container without a live row removes it at once.
        let Some(stopping) = Stopping::begin(self.shared, (self.work.app.id, instance)) else {
            return Ok(());
        };
        let row = self.row(instance)?;
        let seen = self.seen.containers.get(&instance);
        let exit = seen.and_then(|seen| seen.state.exit());
        let with_docker = seen.is_some_and(|seen| self.shared.outage.ended(seen.state));
        let (state, reason) = departure(row, seen, with_docker);
        tracing::warn!(app = %self.work.app.name, instance = %row.id, reason, "an instance is replaced");
        let end = InstanceEnd {
            exit_code: exit.map(|exit| exit.code),
            reason: Some(reason),
        };
        if !self.set(instance, state, end).await? {
            return Ok(());
        }
        let published = if row.process.is_web() {
            self.shared.routes.publish().await.map(drop)
        } else {
            Ok(())
        };
        if seen.is_some_and(|seen| seen.state.is_running()) {
            // It may still be at work on something: it gets the grace time that every instance gets.
            stopping.stop(row.clone(), self.container(row), grace(self.work));
        } else if let Some(container) = self.container(row) {
            stopping.remove(container, exit.map(|_| row.clone()));
        }
        published
    }

    async fn drain(&self, instance: InstanceId) -> anyhow::Result<()> {
        let end = InstanceEnd::default();
        if !self.set(instance, InstanceState::Draining, end).await? {
            return Ok(());
        }
        let told = Instant::now();
        self.shared.routes.take_out(instance).await?;
        if told.elapsed() > NOTICED {
            // An edge that is slow to notice (Traefik) sent it requests until now: its time to finish them begins now.
            self.shared.store.restart_drain(instance).await?;
        }
        Ok(())
    }

    async fn stop(&self, instance: InstanceId) -> anyhow::Result<()> {
        let row = self.row(instance)?;
        let store = &self.shared.store;
        if row.process.is_web() {
            // If the table without it could not be handed over when it was drained, now is the last moment; and it has been sent requests
            // until now.
            let taken_out = self.shared.routes.take_out(instance).await?;
            if taken_out == TakenOut::JustNow && row.state == InstanceState::Draining {
                return Ok(store.restart_drain(instance).await?);
            }
        }
        let end = InstanceEnd::default();
        if row.state != InstanceState::Draining && !self.set(instance, InstanceState::Draining, end).await? {
            return Ok(());
        }
        if let Some(stopping) = Stopping::begin(self.shared, (row.app, instance)) {
            stopping.stop(row.clone(), self.container(row), grace(self.work));
        }
        Ok(())
    }
}
