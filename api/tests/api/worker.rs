//! The worker, played by the test through the store.

use std::time::Duration;

use uuid::Uuid;
use windlass_domain::{AppId, Failure, LogSource, ProcessSpec, release::ProcessCommand};
use windlass_store::{Claim, NewImage, NewRelease, Outcome, ReleaseRow, Store, WorkerId};

use crate::support::eventually;

/// A deployment that this worker holds.
pub struct Work {
    store: Store,
    pub claim: Claim,
}

/// Takes the next deployment, as soon as there is one.
pub async fn claim(store: &Store) -> Work {
    let claim = eventually("a deployment can be claimed", || async {
        let worker = WorkerId(Uuid::now_v7());
        store.claim_deployment(worker, Duration::from_secs(60)).await.unwrap()
    })
    .await;
    Work {
        store: store.clone(),
        claim,
    }
}

impl Work {
    pub fn app(&self) -> AppId {
        self.claim.app.id
    }

    pub async fn say(&self, line: &str) {
        let lines = [(LogSource::Windlass, line.to_owned())];
        self.store
            .append_deployment_log(self.claim.deployment.id, &lines)
            .await
            .unwrap();
    }

    /// Makes a release of it, live.
    pub async fn succeed(self) -> ReleaseRow {
        let (id, attempt) = (self.claim.deployment.id, self.claim.attempt);
        let image = NewImage {
            reference: format!("windlass/test:{id}"),
            digest: "sha256:00".to_owned(),
            commit: self.claim.deployment.commit.clone(),
            processes: processes(),
            exposed_ports: vec![8080],
            size_bytes: 1,
        };
        let image = self.store.record_image(id, attempt, image).await.unwrap().unwrap();
        let release = NewRelease {
            image: image.id,
            config_version: self
                .store
                .config(self.claim.app.team, self.app())
                .await
                .unwrap()
                .version,
            processes: processes(),
            settings: self.claim.app.settings.clone(),
            description: "made by a test".to_owned(),
        };
        let release = self.store.record_release(id, attempt, release).await.unwrap().unwrap();
        assert!(self.store.set_candidate(id, attempt, release.id).await.unwrap());
        assert!(self.store.promote(self.app(), release.id).await.unwrap());
        self.finish(Outcome::Succeeded).await;
        release
    }

    pub async fn fail(self, failure: Failure) {
        self.finish(Outcome::Failed(failure)).await;
    }

    pub async fn finish(self, outcome: Outcome) {
        let (id, attempt) = (self.claim.deployment.id, self.claim.attempt);
        assert!(self.store.finish_deployment(id, attempt, outcome).await.unwrap());
    }
}

fn processes() -> Vec<ProcessSpec> {
    ["web", "worker"]
        .map(|process| ProcessSpec {
            process: process.parse().unwrap(),
            command: Some(ProcessCommand::Shell(format!("run {process}"))),
        })
        .into()
}
