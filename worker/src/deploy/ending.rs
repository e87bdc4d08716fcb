//! How an attempt at a deployment ends: it succeeded or failed, is tried again, or goes on with another worker.

use std::time::Duration;

use chrono::Utc;
use windlass_domain::{Failure, FailureCode};
use windlass_store::{Again, Outcome, ReleaseRow};

use super::{Deploy, End, lease::Lease};

/// So many faults of our own become the deployment's failure.
const MAX_FAULTS: u32 = 3;
/// After a fault of ours the next attempt waits, three times as long each time: Docker may just be restarting.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// For so long a deployment that is under way waits for Docker.
pub(crate) const WAITS_FOR_DOCKER: Duration = Duration::from_secs(3600);

impl Deploy<'_> {
    pub(super) async fn conclude(&self, result: Result<ReleaseRow, End>) {
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
        if self.waits_for_docker() {
            self.log
                .error("Docker does not answer; this deployment goes on when it does");
            self.give_up(Again::After(FIRST_PAUSE)).await;
            return None;
        }
        if self.claim.faults + 1 < MAX_FAULTS {
            self.log.error("Windlass met a fault of its own and tries again");
            let pause = FIRST_PAUSE * 3_u32.pow(self.claim.faults);
            self.give_up(Again::AfterFault(pause)).await;
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

    /// Whether Docker is to blame when nothing goes on: it is away, or was until a moment ago. It is not waited for for ever.
    pub(super) fn waits_for_docker(&self) -> bool {
        let (outage, now) = (&self.shared.outage, Utc::now());
        let begun = self.claim.deployment.started_at.unwrap_or(now);
        let under_way = (now - begun).to_std().unwrap_or_default();
        outage.is_felt(now) && outage.age().min(under_way) < WAITS_FOR_DOCKER
    }

    async fn give_up(&self, again: Again) {
        let id = self.claim.deployment.id;
        self.log.flush().await;
        if let Err(error) = self
            .shared
            .store
            .release_deployment(id, self.claim.attempt, again)
            .await
        {
            tracing::warn!(deployment = %id, error = %error, "left to be taken over when its lease ends");
        }
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

    pub(super) async fn hand_over(&self, lease: &Lease) {
        let id = self.claim.deployment.id;
        if lease.lost.is_cancelled() {
            return tracing::warn!(deployment = %id, "the lease is lost; another worker goes on");
        }
        self.log
            .heading("The engine is restarting; this deployment goes on with the next one".to_owned());
        self.give_up(Again::AtOnce).await;
    }
}

const fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Failed(_) => "failed",
        Outcome::Cancelled => "cancelled",
    }
}
