//! Carries one claimed deployment from its source to a live release.
//!
//! It never touches an instance: it names a release as the app's candidate and waits for the converge loop to make it live or to
//! say why it cannot. What a killed worker left is found in the rows: a finished build is not built again.

mod lease;
mod log;
mod release_command;
mod revision;
mod rollout;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use windlass_domain::{
    AppSettings, CommitSha, DeploymentKind, Failure, FailureCode, Redactor, Step, release::ProcessSpec,
};
use windlass_store::{Claim, Config, ImageRow, NewRelease, Outcome, ReleaseRow, Trigger};

use self::{lease::Lease, log::DeployLog};
use crate::context::Shared;

/// So many faults of our own become the deployment's failure.
const MAX_FAULTS: u32 = 3;
/// A deployment that took so many workers with it is given up.
const MAX_DEATHS: u32 = 3;
/// After a fault of ours the next attempt waits, three times as long each time: Docker may just be restarting.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// How a deployment ends when it does not succeed.
pub(crate) enum End {
    /// The app's fault, or a limit: it is told.
    Failed(Failure),
    /// Somebody asked for it.
    Cancelled,
    /// Our own fault: it is tried again.
    Fault(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

/// One deployment under way.
pub(crate) struct Deploy<'a> {
    shared: &'a Arc<Shared>,
    claim: &'a Claim,
    log: DeployLog,
    cancel: CancellationToken,
}

/// Runs a claimed deployment to its end, or hands it over at shutdown.
pub(crate) async fn run(shared: &Arc<Shared>, claim: Claim) {
    let id = claim.deployment.id;
    tracing::info!(deployment = %id, app = %claim.app.name, attempt = claim.attempt, "deployment claimed");
    let lease = Lease::hold(shared.clone(), &claim);
    let log = DeployLog::start(shared.store.clone(), id);
    let deploy = Deploy {
        shared,
        claim: &claim,
        log: log.clone(),
        cancel: lease.cancelled.clone(),
    };
    let result = tokio::select! {
        () = lease.lost.cancelled() => None,
        () = shared.shutdown.cancelled() => None,
        result = deploy.carry_through() => {
            if result.is_err() {
                deploy.clean_up().await;
            }
            Some(result)
        }
    };
    match result {
        Some(result) => deploy.conclude(result).await,
        None => deploy.hand_over(&lease).await,
    }
    log.close().await;
    lease.end().await;
}

impl Deploy<'_> {
    async fn carry_through(&self) -> Result<ReleaseRow, End> {
        let is_live = self.claim.release.as_ref().is_some_and(|release| release.live);
        if self.claim.deaths >= MAX_DEATHS && !is_live {
            return Err(End::Failed(quarantined(self.claim)));
        }
        let release = match self.claim.release.clone() {
            Some(release) => release,
            None => self.release().await?,
        };
        release_command::run(self, &release).await?;
        rollout::run(self, &release).await?;
        // It is live: what fails from here on is no failure of the deployment.
        if let Err(error) = self.keep_revision(&release).await {
            tracing::warn!(app = %self.claim.app.name, error = format!("{error:#}"), "the branch could not be moved");
        }
        Ok(release)
    }

    /// A release command must not outlive the deployment that ran it.
    async fn clean_up(&self) {
        if let Err(error) = release_command::remove_leftovers(self).await {
            tracing::warn!(app = %self.claim.app.name, error = format!("{error:#}"), "a release container may be left");
        }
    }

    /// Records the release that shall go live.
    async fn release(&self) -> Result<ReleaseRow, End> {
        let store = &self.shared.store;
        let (image, processes, settings, description) = match &self.claim.deployment.kind {
            DeploymentKind::Push { .. } | DeploymentKind::Fetch { .. } => {
                let image = match self.claim.image.clone() {
                    Some(image) => image,
                    None => revision::build(self).await?,
                };
                let what = image.commit.as_ref().map_or("image", CommitSha::short).to_owned();
                (
                    image.clone(),
                    processes(&image),
                    with_port(&self.claim.app.settings, &image),
                    format!("Deploy {what}"),
                )
            }
            DeploymentKind::Config => {
                let live = self.live_release().await?;
                let image = self.image_of(&live).await?;
                let settings = with_port(&self.claim.app.settings, &image);
                (image, live.processes, settings, "Set config vars".to_owned())
            }
            DeploymentKind::Rollback { to } => {
                let found = store.release(self.claim.app.team, self.claim.app.id, *to).await?;
                let old = found.with_context(|| format!("the release {to} is gone"))?;
                let what = match self.claim.deployment.trigger {
                    Trigger::Rebuild => "Rebuild of",
                    _ => "Rollback to",
                };
                (
                    self.image_of(&old).await?,
                    old.processes,
                    old.settings,
                    format!("{what} {to}"),
                )
            }
        };
        self.enter(Step::Release).await?;
        let config = self.config().await?;
        let new = NewRelease {
            image: image.id,
            config_version: config.version,
            processes,
            settings,
            description,
        };
        let release = store
            .record_release(self.claim.deployment.id, self.claim.attempt, new)
            .await?;
        let release = release.context("the deployment was taken over")?;
        self.finish_step(Step::Release, "done").await?;
        self.log
            .heading(format!("Release {}: {}", release.version, release.description));
        Ok(release)
    }

    async fn live_release(&self) -> Result<ReleaseRow, End> {
        let work = self.shared.store.app_work(self.claim.app.id).await?;
        work.and_then(|work| work.live).ok_or_else(|| {
            self.log
                .heading("Nothing is live; the config vars are kept for the next deployment".to_owned());
            End::Cancelled
        })
    }

    /// The image of an earlier release; one that is no longer kept is built again from its commit.
    async fn image_of(&self, release: &ReleaseRow) -> Result<ImageRow, End> {
        if let Some(image) = self.claim.image.clone() {
            return Ok(image);
        }
        if let Some(image) = self.kept_image(release).await? {
            return Ok(image);
        }
        let Some(commit) = release.commit.clone() else {
            return Err(End::Failed(image_lost(release)));
        };
        self.log.heading(format!(
            "The image of {} is no longer kept; building {} again",
            release.version,
            commit.short()
        ));
        revision::build_commit(self, commit, &release.settings.build).await
    }

    /// The image of an earlier release, if it is here: one may have been removed by hand, of which no row tells.
    async fn kept_image(&self, release: &ReleaseRow) -> Result<Option<ImageRow>, End> {
        let app = self.claim.app.id;
        let images = self.shared.store.images_of(app).await?;
        let recorded = images
            .into_iter()
            .find(|image| image.id == release.image && image.removed_at.is_none());
        let Some(image) = recorded else { return Ok(None) };
        let here = self.shared.runtime.images(app).await?;
        Ok(here
            .iter()
            .any(|one| one.references.contains(&image.reference))
            .then_some(image))
    }

    /// A deployed commit becomes the tip of the app's branch: only now, so that a failed push can be pushed again.
    async fn keep_revision(&self, release: &ReleaseRow) -> anyhow::Result<()> {
        // A commit that was deployed again by hand may be an old one: the branch stays where the last push left it.
        if let (Trigger::Push, Some(commit)) = (self.claim.deployment.trigger, &release.commit) {
            let app = &self.claim.app;
            self.shared
                .repositories
                .set_branch(app.id, &app.settings.branch, commit)
                .await?;
        }
        Ok(())
    }

    async fn enter(&self, step: Step) -> Result<(), End> {
        self.check_cancelled()?;
        let ours = self
            .shared
            .store
            .enter_step(self.claim.deployment.id, self.claim.attempt, step)
            .await?;
        if ours {
            Ok(())
        } else {
            Err(End::Fault(anyhow::anyhow!("the deployment was taken over")))
        }
    }

    async fn finish_step(&self, step: Step, outcome: &str) -> Result<(), End> {
        self.shared
            .store
            .finish_step(self.claim.deployment.id, self.claim.attempt, step, outcome)
            .await?;
        Ok(())
    }

    fn check_cancelled(&self) -> Result<(), End> {
        if self.cancel.is_cancelled() {
            Err(End::Cancelled)
        } else {
            Ok(())
        }
    }

    /// The config vars of the release: the newest. One that is only built again keeps its own: nobody asked for others.
    async fn config(&self) -> anyhow::Result<Config> {
        let (store, app) = (&self.shared.store, &self.claim.app);
        if let (Trigger::Rebuild, DeploymentKind::Rollback { to }) =
            (self.claim.deployment.trigger, &self.claim.deployment.kind)
        {
            let old = store.release(app.team, app.id, *to).await?;
            let old = old.with_context(|| format!("the release {to} is gone"))?;
            return Ok(store.config_at(app.id, old.config_version).await?);
        }
        Ok(store.config(app.team, app.id).await?)
    }

    /// Config vars whose values must not show in the log.
    async fn redactor(&self) -> anyhow::Result<Redactor> {
        Ok(Redactor::new(self.config().await?.vars.values()))
    }

    async fn conclude(&self, result: Result<ReleaseRow, End>) {
        let outcome = match result {
            Ok(release) => {
                let url = self.shared.config.app_url(&self.claim.app.name);
                self.log.result(format!("{url} is live ({})", release.version));
                Outcome::Succeeded
            }
            Err(End::Failed(failure)) => {
                self.log.failure(&failure);
                Outcome::Failed(failure)
            }
            Err(End::Cancelled) => {
                self.log.error("Cancelled; the release that was live before still is");
                Outcome::Cancelled
            }
            Err(End::Fault(error)) => match self.after_fault(&error).await {
                Some(outcome) => outcome,
                None => return,
            },
        };
        self.log.flush().await;
        self.finish(outcome).await;
    }

    /// Tries again; after the last attempt our fault is the deployment's failure.
    async fn after_fault(&self, error: &anyhow::Error) -> Option<Outcome> {
        let id = self.claim.deployment.id;
        tracing::error!(deployment = %id, attempt = self.claim.attempt, error = format!("{error:#}"), "deployment hit a fault");
        if self.claim.faults + 1 < MAX_FAULTS {
            self.log.error("Windlass met a fault of its own and tries again");
            self.log.flush().await;
            let pause = FIRST_PAUSE * 3_u32.pow(self.claim.faults);
            if let Err(error) = self
                .shared
                .store
                .release_deployment(id, self.claim.attempt, pause)
                .await
            {
                tracing::warn!(deployment = %id, error = %error, "left to be taken over when its lease ends");
            }
            return None;
        }
        let failure = Failure::new(
            FailureCode::Internal,
            format!("Windlass met a fault of its own {MAX_FAULTS} times: {error:#}"),
            "look at the log of windlassd and run `windlassd doctor` on the server, then deploy again",
        );
        self.log.failure(&failure);
        Some(Outcome::Failed(failure))
    }

    async fn finish(&self, outcome: Outcome) {
        let id = self.claim.deployment.id;
        for pause in [0, 100, 1000, 3000] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            match self
                .shared
                .store
                .finish_deployment(id, self.claim.attempt, outcome.clone())
                .await
            {
                Ok(true) => {
                    tracing::info!(deployment = %id, outcome = word(&outcome), "deployment ended");
                    return;
                }
                Ok(false) => {
                    return tracing::warn!(deployment = %id, "the deployment was taken over before it ended here");
                }
                Err(error) => tracing::warn!(deployment = %id, error = %error, "cannot record the end of a deployment"),
            }
        }
    }

    async fn hand_over(&self, lease: &Lease) {
        let id = self.claim.deployment.id;
        if lease.lost.is_cancelled() {
            return tracing::warn!(deployment = %id, "the lease is lost; another worker goes on");
        }
        self.log
            .heading("The engine is restarting; this deployment goes on with the next one".to_owned());
        self.log.flush().await;
        if let Err(error) = self
            .shared
            .store
            .release_deployment(id, self.claim.attempt, Duration::ZERO)
            .await
        {
            tracing::warn!(deployment = %id, error = %error, "left to be taken over when its lease ends");
        }
    }
}

const fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Failed(_) => "failed",
        Outcome::Cancelled => "cancelled",
    }
}

fn quarantined(claim: &Claim) -> Failure {
    let step = claim.deployment.step.map_or("its beginning", Step::as_str);
    Failure::new(
        FailureCode::Internal,
        format!(
            "{} workers died while they held this deployment, the last one at `{step}`; it is not tried again",
            claim.deaths
        ),
        "look at the log of windlassd and of the kernel (`dmesg`) for what ended it, then deploy again",
    )
}

fn image_lost(release: &ReleaseRow) -> Failure {
    Failure::new(
        FailureCode::MachineLimit,
        format!(
            "the image of {} is no longer kept, and its commit is not known",
            release.version
        ),
        "deploy the commit again, so that it is built anew",
    )
}

/// What an image runs: its Procfile, or its own command as `web`.
fn processes(image: &ImageRow) -> Vec<ProcessSpec> {
    if image.processes.is_empty() {
        return vec![ProcessSpec {
            process: windlass_domain::ProcessType::web(),
            command: None,
        }];
    }
    image.processes.clone()
}

/// The port that `web` gets: the setting, or the only port that the image exposes, or 8080.
fn with_port(settings: &AppSettings, image: &ImageRow) -> AppSettings {
    let exposed = match image.exposed_ports.as_slice() {
        [port] => Some(*port),
        _ => None,
    };
    AppSettings {
        port: settings.port.or(exposed).or(Some(8080)),
        ..settings.clone()
    }
}
