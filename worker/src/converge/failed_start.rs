//! An instance could not be started: who is to blame, and what follows.

use anyhow::Context;
use chrono::Utc;
use windlass_domain::{Failure, FailureCode, InstanceId, InstanceState};
use windlass_runtime::{InstanceSpec, RuntimeError, StartError, diagnose};
use windlass_store::{InstanceEnd, InstanceRow, Rebuild, ReleaseRow};

use super::steps::Round;

impl Round<'_> {
    /// What the app is to blame for fails a candidate, or counts as a crash of a live release; an image that is gone is built again;
    /// a runtime that is away is waited for; the rest is tried again.
    pub(super) async fn could_not_start(
        &self,
        release: &ReleaseRow,
        row: &InstanceRow,
        spec: &InstanceSpec,
        error: StartError,
    ) -> anyhow::Result<()> {
        let candidate = self.work.candidate.as_ref();
        let is_candidate = candidate.is_some_and(|candidate| candidate.id == release.id);
        match error {
            StartError::CannotExecute { exit, message } => {
                let failure = diagnose::cannot_execute(&row.process, exit, &message);
                if is_candidate {
                    self.unfit(release.id, &failure).await?;
                }
                self.crashed(row.id, (Some(exit.code), failure.reason)).await
            }
            StartError::ImageMissing(image) if is_candidate => {
                self.unfit(release.id, &image_gone(&image)).await?;
                self.forget(row.id, "its image is gone").await
            }
            StartError::ImageMissing(image) => {
                let rebuild = self.rebuild(release, &image).await?;
                self.crashed(row.id, (None, removed(&rebuild))).await
            }
            StartError::Runtime(away @ RuntimeError::Unreachable(_)) if self.runtime_is_away().await => {
                self.forget(row.id, &away.to_string()).await?;
                Err(away).with_context(|| format!("cannot start {}", spec.name))
            }
            other => {
                self.crashed(row.id, (None, other.to_string())).await?;
                Err(other).with_context(|| format!("cannot start {}", spec.name))
            }
        }
    }

    /// Docker may also be there and only be too slow for this start: then the next attempt has to back off.
    async fn runtime_is_away(&self) -> bool {
        self.shared.outage.is_felt(Utc::now()) || self.shared.runtime.glance().await.is_err()
    }

    /// Counted as a crash, so that the next attempt backs off.
    pub(super) async fn crashed(
        &self,
        instance: InstanceId,
        (exit_code, reason): (Option<i64>, String),
    ) -> anyhow::Result<()> {
        let end = InstanceEnd {
            exit_code,
            reason: Some(reason),
        };
        self.set(instance, InstanceState::Crashed, end).await?;
        Ok(())
    }

    pub(super) async fn forget(&self, instance: InstanceId, reason: &str) -> anyhow::Result<()> {
        let end = InstanceEnd {
            exit_code: None,
            reason: Some(reason.to_owned()),
        };
        self.set(instance, InstanceState::Stopped, end).await?;
        Ok(())
    }

    /// Asks for a deployment that builds the live release again: without its image it cannot come back.
    async fn rebuild(&self, release: &ReleaseRow, image: &str) -> anyhow::Result<Rebuild> {
        let rebuild = self.shared.store.rebuild_live(self.work.app.id, release.id).await?;
        let (app, version) = (&self.work.app.name, release.version);
        match &rebuild {
            Rebuild::Asked(deployment) => {
                tracing::warn!(%app, release = %version, image, %deployment, "the image of a live release is gone; it is built again");
            }
            other => {
                tracing::warn!(%app, release = %version, image, rebuild = ?other, "the image of a live release is gone")
            }
        }
        Ok(rebuild)
    }
}

/// Why an instance of a live release cannot be started, and what becomes of that.
fn removed(rebuild: &Rebuild) -> String {
    let then = match rebuild {
        Rebuild::Asked(_) | Rebuild::UnderWay | Rebuild::NotLive => "a deployment is on its way that brings it back",
        Rebuild::Later => "building it again failed and is tried again later; see `windlass deployments`",
        Rebuild::GivenUp => "building it again was given up: deploy the app again",
        Rebuild::NoCommit => "its commit is not known: deploy the app again",
    };
    format!("its image was removed from this machine; {then}")
}

pub(crate) fn image_gone(image: &str) -> Failure {
    Failure::new(
        FailureCode::MachineLimit,
        format!("the image {image} is no longer on this machine"),
        "deploy the commit again, so that it is built anew",
    )
}
