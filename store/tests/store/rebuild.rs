//! A live release whose image is gone is built again by itself: once, as it was, and not for ever.

use std::collections::BTreeMap;

use windlass_domain::{DeploymentKind, DeploymentStatus, Failure, FailureCode, ReleaseVersion, Secret};
use windlass_store::{AppRow, Outcome, Rebuild, ReleaseRow, Trigger};

use crate::support::{Db, with_db};

async fn ask(db: &Db, release: &ReleaseRow) -> Rebuild {
    db.store.rebuild_live(release.app, release.id).await.unwrap()
}

/// Asks, and takes what was asked for to this end.
async fn try_once(db: &Db, release: &ReleaseRow, outcome: Outcome) {
    let Rebuild::Asked(id) = ask(db, release).await else {
        panic!("it was not asked for");
    };
    let claim = db.claim().await.unwrap();
    assert_eq!(claim.deployment.id, id);
    assert!(db.store.finish_deployment(id, claim.attempt, outcome).await.unwrap());
}

fn failed() -> Outcome {
    Outcome::Failed(Failure::new(FailureCode::MachineLimit, "the disk is full", "make room"))
}

#[tokio::test]
async fn a_live_release_is_built_again_once_however_many_ask() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let release = db.deployed(&app).await;
        let (one, two) = tokio::join!(ask(&db, &release), ask(&db, &release));
        let asked = |rebuild: &Rebuild| matches!(rebuild, Rebuild::Asked(_));
        assert!(asked(&one) != asked(&two), "{one:?} {two:?}");

        let claim = db.claim().await.unwrap();
        let deployment = &claim.deployment;
        let to = release.version;
        assert_eq!(deployment.kind, DeploymentKind::Rollback { to });
        assert_eq!(
            (deployment.trigger, &deployment.commit),
            (Trigger::Rebuild, &release.commit)
        );
        let said = "the image of v1 was removed from this machine";
        assert!(deployment.message.as_ref().unwrap().starts_with(said));
        let log = db.store.deployment_log(db.team, deployment.id, 0, 10).await.unwrap();
        assert!(log[0].text.contains(said), "{log:?}");
        assert_eq!(ask(&db, &release).await, Rebuild::UnderWay, "it runs");
        let commit = release.commit.clone().unwrap();
        let told = db
            .store
            .set_commit(deployment.id, claim.attempt, &commit, Some("A change"))
            .await;
        assert!(told.unwrap());
        let message = db.get(deployment).await.message.unwrap();
        assert!(message.starts_with(said), "it still says why: {message}");

        let again = db.build(&claim).await;
        db.go_live(&claim, &again).await;
        assert_eq!(ask(&db, &release).await, Rebuild::NotLive);
        assert!(
            asked(&ask(&db, &again).await),
            "another release may lose its image, too"
        );
    })
    .await;
}

#[tokio::test]
async fn nothing_is_built_again_while_a_deployment_is_open_or_the_app_goes() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let release = db.deployed(&app).await;
        db.push(&app).await;
        assert_eq!(ask(&db, &release).await, Rebuild::UnderWay, "it waits");
        let claim = db.claim().await.unwrap();
        let end = Outcome::Cancelled;
        let ended = db.store.finish_deployment(claim.deployment.id, claim.attempt, end);
        assert!(ended.await.unwrap());
        db.raw_do("update apps set deleting_at = now()").await;
        assert_eq!(ask(&db, &release).await, Rebuild::UnderWay);
        assert!(db.claim().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_rebuild_that_failed_rests_for_longer_each_time_and_is_given_up_at_last() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let release = db.deployed(&app).await;
        for _ in 0..3 {
            try_once(&db, &release, failed()).await;
            assert_eq!(ask(&db, &release).await, Rebuild::Later);
            db.raw_do("update deployments set finished_at = finished_at - interval '80 minutes'")
                .await;
        }
        try_once(&db, &release, failed()).await;
        db.raw_do("update deployments set finished_at = finished_at - interval '1 year'")
            .await;
        assert_eq!(ask(&db, &release).await, Rebuild::GivenUp);

        let next = db.deployed(&app).await;
        assert!(matches!(ask(&db, &next).await, Rebuild::Asked(_)), "something changed");
    })
    .await;
}

#[tokio::test]
async fn what_somebody_cancelled_or_whose_commit_is_not_known_is_left_to_people() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let release = db.deployed(&app).await;
        try_once(&db, &release, Outcome::Cancelled).await;
        assert_eq!(ask(&db, &release).await, Rebuild::GivenUp);
        db.raw_do("update images set commit_id = null").await;
        assert_eq!(ask(&db, &release).await, Rebuild::NoCommit);
    })
    .await;
}

#[tokio::test]
async fn nobody_waits_behind_a_rebuild_that_waits() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let release = db.deployed(&app).await;
        let asked = ask(&db, &release).await;
        let Rebuild::Asked(rebuild) = asked else {
            panic!("{asked:?}");
        };
        let push = db.push(&app).await;
        assert_eq!(db.claim().await.unwrap().deployment.id, push.id);
        let row = db.store.deployment(db.team, app.id, rebuild).await.unwrap().unwrap();
        assert_eq!(
            (row.status, row.superseded_by),
            (DeploymentStatus::Superseded, Some(push.id))
        );
    })
    .await;
}

/// Sets a config var without deploying it.
async fn set(db: &Db, app: &AppRow, value: &str) -> u32 {
    let change = BTreeMap::from([("A".parse().unwrap(), Some(Secret::from(value)))]);
    let patched = db.store.patch_config(db.team, app.id, &change, db.by).await;
    patched.unwrap().unwrap().config.version
}

#[tokio::test]
async fn what_the_user_has_set_meanwhile_stays_set() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let release = db.deployed(&app).await;
        let newest = set(&db, &app, "new").await;
        let claim = db.claim().await.unwrap();
        assert_eq!(claim.deployment.kind, DeploymentKind::Config);
        let ended = db.store.finish_deployment(claim.deployment.id, claim.attempt, failed());
        assert!(ended.await.unwrap());
        assert!(matches!(ask(&db, &release).await, Rebuild::Asked(_)));
        assert_eq!(db.store.config(db.team, app.id).await.unwrap().version, newest);
    })
    .await;
}

#[tokio::test]
async fn a_rollback_goes_back_behind_a_rebuild() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.deployed(&app).await;
        let second = db.deployed(&app).await;
        let mut live = second;
        for _ in 0..2 {
            assert!(matches!(ask(&db, &live).await, Rebuild::Asked(_)));
            let claim = db.claim().await.unwrap();
            live = db.build(&claim).await;
            db.go_live(&claim, &live).await;
        }
        assert_eq!(live.version, ReleaseVersion(4));
        let target = db.store.rollback_target(db.team, app.id, None).await.unwrap();
        assert_eq!(target.version, ReleaseVersion(1), "v3 and v4 are v2 once more");
    })
    .await;
}
