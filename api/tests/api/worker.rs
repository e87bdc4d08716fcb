//! The worker, played by the test through the store.

use std::time::Duration;

use uuid::Uuid;
use windlass_domain::{AppId, Failure, InstanceId, LogSource, ProcessSpec, release::ProcessCommand};
use windlass_store::{
    Claim, InstanceRow, NewImage, NewInstance, NewRelease, Outcome, ReleaseRow, Store, Wanted, WorkerId,
};

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
        store
            .claim_deployment(worker, Duration::from_secs(60), Wanted::Any)
            .await
            .unwrap()
    })
    .await;
    Work {
        store: store.clone(),
        claim,
    }
}

/// The worker that holds the app's lease from now on.
pub async fn keep(store: &Store, app: AppId) -> WorkerId {
    let keeper = WorkerId(Uuid::from_u128(1));
    assert!(store.lease_app(app, keeper, Duration::from_secs(60)).await.unwrap());
    keeper
}

/// An instance that is being started.
pub async fn start(store: &Store, release: &ReleaseRow, process: &str) -> InstanceRow {
    let new = NewInstance {
        id: InstanceId::generate(),
        app: release.app,
        release: release.id,
        process: process.parse().unwrap(),
        n: 1,
        restart_seq: 0,
    };
    let keeper = keep(store, release.app).await;
    store.insert_instance(keeper, new).await.unwrap().unwrap()
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
        let release = self.release().await;
        let (id, attempt) = (self.claim.deployment.id, self.claim.attempt);
        assert!(self.store.set_candidate(id, attempt, release.id).await.unwrap());
        let keeper = keep(&self.store, self.app()).await;
        assert!(self.store.promote(keeper, self.app(), release.id).await.unwrap());
        self.finish(Outcome::Succeeded).await;
        release
    }

    /// Makes a release of it that never becomes live.
    pub async fn fail_with_release(self, failure: Failure) {
        self.release().await;
        self.fail(failure).await;
    }

    async fn release(&self) -> ReleaseRow {
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
        self.store.record_release(id, attempt, release).await.unwrap().unwrap()
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
