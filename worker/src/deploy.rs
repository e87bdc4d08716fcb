//! Carries one claimed deployment from its source to a live release.
//!
//! It never touches an instance: it names a release as the app's candidate and waits for the converge loop to make it live or to
//! say why it cannot. What a killed worker left is found in the rows: a finished build is not built again.

mod ending;
mod lease;
mod log;
mod release_command;
mod revision;
mod rollout;

use std::{panic::AssertUnwindSafe, sync::Arc};

use anyhow::Context;
use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use windlass_domain::{
    AppSettings, CommitSha, DeploymentKind, Failure, FailureCode, Redactor, Step, release::ProcessSpec,
};
use windlass_store::{Claim, Config, ImageRow, NewRelease, ReleaseRow, Trigger};

pub(crate) use self::ending::WAITS_FOR_DOCKER;
use self::{lease::Lease, log::DeployLog};
use crate::context::Shared;

/// A deployment that took so many workers with it is given up.
const MAX_DEATHS: u32 = 3;

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
        result = deploy.work() => Some(result),
    };
    match result {
        Some(result) => deploy.conclude(result).await,
        None => deploy.hand_over(&lease).await,
    }
    log.close().await;
    lease.end().await;
}

impl Deploy<'_> {
    /// All that there is to do, and nothing of it is left running when it ends badly. A panic is a fault like any other.
    async fn work(&self) -> Result<ReleaseRow, End> {
        let carried = AssertUnwindSafe(self.carry_through()).catch_unwind().await;
        let result = carried.unwrap_or_else(|_| Err(End::Fault(anyhow::anyhow!("a deployment panicked"))));
        if result.is_err() {
            self.clean_up().await;
        }
        result
    }

    async fn carry_through(&self) -> Result<ReleaseRow, End> {
        let release = match self.claim.release.clone() {
            Some(release) => release,
            None => {
                self.check_deaths()?;
                self.release().await?
            }
        };
        if let Err(end) = self.make_live(&release).await {
            rollout::withdraw(self, &release, end).await?;
        }
        // It is live: what fails from here on is no failure of the deployment.
        if let Err(error) = self.keep_revision(&release).await {
            tracing::warn!(app = %self.claim.app.name, error = format!("{error:#}"), "the branch could not be moved");
        }
        Ok(release)
    }

    async fn make_live(&self, release: &ReleaseRow) -> Result<(), End> {
        if !release.live {
            self.check_deaths()?;
        }
        release_command::run(self, release).await?;
        rollout::run(self, release).await
    }

    /// What takes its workers with it is not tried again and again.
    fn check_deaths(&self) -> Result<(), End> {
        if self.claim.deaths >= MAX_DEATHS {
            return Err(End::Failed(quarantined(self.claim)));
        }
        Ok(())
    }

    /// A release command must not outlive the deployment that ran it.
    async fn clean_up(&self) {
        if let Err(error) = release_command::remove_leftovers(self).await {
            tracing::warn!(app = %self.claim.app.name, error = format!("{error:#}"), "a release container may be left");
        }
    }

    /// Records the release that shall go live.
    async fn release(&self) -> Result<ReleaseRow, End> {
        // Before Docker is asked for anything: it may be away, and that is no reason to go on.
        self.check_cancelled()?;
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

    /// Waits for something that nobody needs any more once the deployment is cancelled.
    async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, End> {
        tokio::select! {
            () = self.cancel.cancelled() => Err(End::Cancelled),
            done = work => Ok(done),
        }
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
