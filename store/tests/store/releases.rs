use std::collections::BTreeMap;

use windlass_domain::{DeploymentKind, DeploymentStatus, Failure, FailureCode, ReleaseVersion, Secret};
use windlass_store::{Outcome, Page, RollbackError, TakenBack};

use crate::support::with_db;

const V1: ReleaseVersion = ReleaseVersion(1);
const V2: ReleaseVersion = ReleaseVersion(2);

#[tokio::test]
async fn a_rollback_goes_to_the_last_release_that_was_live_before() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let roll_back = async |to| db.store.create_rollback(db.team, app.id, to, db.by).await;
        assert!(matches!(roll_back(None).await, Err(RollbackError::NoLiveRelease)));
        let first = db.deployed(&app).await;
        assert!(matches!(roll_back(None).await, Err(RollbackError::NothingBefore)));
        // A release that never became live is no place to go back to.
        db.push(&app).await;
        let claim = db.claim().await.unwrap();
        let bad = db.build(&claim).await;
        let failure = Failure::new(FailureCode::Exited, "it ended", "look");
        db.store
            .finish_deployment(claim.deployment.id, 1, Outcome::Failed(failure))
            .await
            .unwrap();
        let third = db.deployed(&app).await;
        assert_eq!((first.version, bad.version, third.version), (V1, V2, ReleaseVersion(3)));
        assert!(third.live);

        let rollback = roll_back(None).await.unwrap();
        assert_eq!(rollback.kind, DeploymentKind::Rollback { to: V1 });
        assert_eq!(rollback.commit, first.commit);
        assert!(matches!(
            roll_back(Some(third.version)).await,
            Err(RollbackError::AlreadyLive)
        ));
        assert!(matches!(
            roll_back(Some(ReleaseVersion(9))).await,
            Err(RollbackError::NoSuchRelease(ReleaseVersion(9)))
        ));
        assert!(matches!(
            roll_back(Some(ReleaseVersion(u32::MAX))).await,
            Err(RollbackError::NoSuchRelease(_))
        ));
        db.store.mark_image_removed(first.image).await.unwrap();
        let built_again = roll_back(Some(V1)).await.unwrap();
        assert_eq!((built_again.kind, built_again.commit), (rollback.kind, first.commit));
        db.raw_do("update images set commit_id = null").await;
        assert!(matches!(roll_back(None).await, Err(RollbackError::ImageGone(V1))));
        assert!(matches!(roll_back(Some(V1)).await, Err(RollbackError::ImageGone(V1))));
    })
    .await;
}

#[tokio::test]
async fn a_rollback_brings_the_config_vars_of_its_release_to_the_top() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let set = async |value: &str| {
            let change = BTreeMap::from([("A".parse().unwrap(), Some(Secret::from(value)))]);
            db.store.patch_config(db.team, app.id, &change, db.by).await.unwrap();
        };
        set("old").await;
        db.deployed(&app).await;
        set("new").await;
        db.deployed(&app).await;
        let rollback = db
            .store
            .create_rollback(db.team, app.id, Some(V1), db.by)
            .await
            .unwrap();
        let config = db.store.config(db.team, app.id).await.unwrap();
        assert_eq!(config.version, 3);
        assert_eq!(config.vars.values().next().unwrap().expose(), "old");
        assert_eq!(db.claim().await.unwrap().deployment.id, rollback.id);
        db.store
            .create_rollback(db.team, app.id, Some(V1), db.by)
            .await
            .unwrap();
        assert_eq!(
            db.store.config(db.team, app.id).await.unwrap().version,
            3,
            "they are at the top already"
        );
    })
    .await;
}

#[tokio::test]
async fn only_the_candidate_can_be_promoted_and_only_once() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.push(&app).await;
        let claim = db.claim().await.unwrap();
        let release = db.build(&claim).await;
        let keeper = db.keep(app.id).await;
        assert!(!db.store.promote(keeper, app.id, release.id).await.unwrap());
        assert!(
            db.store
                .set_candidate(claim.deployment.id, 1, release.id)
                .await
                .unwrap()
        );
        assert_eq!(
            db.store.app_work(app.id).await.unwrap().unwrap().candidate.unwrap().id,
            release.id
        );
        assert!(db.store.promote(keeper, app.id, release.id).await.unwrap());
        assert!(!db.store.promote(keeper, app.id, release.id).await.unwrap());
        let work = db.store.app_work(app.id).await.unwrap().unwrap();
        assert_eq!((work.live.unwrap().id, work.candidate), (release.id, None));
        assert_eq!(db.live(app.id).await, Some(V1));
        let (id, attempt) = (claim.deployment.id, claim.attempt);
        let taken_back = db.store.take_back(id, attempt, release.id).await.unwrap();
        assert_eq!(taken_back, Some(TakenBack::TooLate), "it is live now");
        assert!(db.store.set_candidate(id, attempt, release.id).await.unwrap());
        let work = db.store.app_work(app.id).await.unwrap().unwrap();
        assert_eq!(work.candidate, None, "what is live is made live once");
        assert_eq!(
            db.store.take_back(id, attempt + 1, release.id).await.unwrap(),
            None,
            "another attempt has it"
        );
    })
    .await;
}

#[tokio::test]
async fn a_deployment_whose_release_is_live_has_succeeded_whatever_its_worker_says() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let failure = Failure::new(FailureCode::Internal, "a deployment panicked", "deploy again");
        for (outcome, goes_live) in [
            (Outcome::Failed(failure.clone()), true),
            (Outcome::Cancelled, true),
            (Outcome::Failed(failure), false),
        ] {
            db.push(&app).await;
            let claim = db.claim().await.unwrap();
            let release = db.build(&claim).await;
            let (id, attempt) = (claim.deployment.id, claim.attempt);
            assert!(db.store.set_candidate(id, attempt, release.id).await.unwrap());
            let keeper = db.keep(app.id).await;
            if goes_live {
                assert!(db.store.promote(keeper, app.id, release.id).await.unwrap());
            }
            for _ in 0..2 {
                assert!(db.store.finish_deployment(id, attempt, outcome.clone()).await.unwrap());
            }
            let work = db.store.app_work(app.id).await.unwrap().unwrap();
            assert_eq!(work.candidate, None);
            assert_eq!(work.live.unwrap().id == release.id, goes_live);
            let ended = db.store.deployment(db.team, app.id, id).await.unwrap().unwrap();
            let expected = if goes_live {
                DeploymentStatus::Succeeded
            } else {
                DeploymentStatus::Failed
            };
            assert_eq!((ended.status, ended.failure.is_none()), (expected, goes_live));
        }
    })
    .await;
}

#[tokio::test]
async fn a_candidate_that_was_found_unfit_is_not_promoted() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.push(&app).await;
        let claim = db.claim().await.unwrap();
        let release = db.build(&claim).await;
        db.store
            .set_candidate(claim.deployment.id, 1, release.id)
            .await
            .unwrap();
        let keeper = db.keep(app.id).await;
        let failure = Failure::new(FailureCode::NotListening, "it does not listen", "listen on $PORT");
        assert!(
            db.store
                .fail_candidate(keeper, (app.id, release.id), &failure)
                .await
                .unwrap()
        );
        assert!(
            !db.store
                .fail_candidate(keeper, (app.id, release.id), &failure)
                .await
                .unwrap()
        );
        assert!(!db.store.promote(keeper, app.id, release.id).await.unwrap());
        let work = db.store.app_work(app.id).await.unwrap().unwrap();
        assert_eq!(work.candidate_failure, Some(failure));
        for _ in 0..2 {
            let taken_back = db.store.take_back(claim.deployment.id, 1, release.id).await.unwrap();
            assert_eq!(taken_back, Some(TakenBack::InTime));
        }
        let work = db.store.app_work(app.id).await.unwrap().unwrap();
        assert_eq!((work.candidate, work.candidate_failure), (None, None));
    })
    .await;
}

#[tokio::test]
async fn releases_and_deployments_are_listed_newest_first_page_by_page() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        for _ in 0..3 {
            db.deployed(&app).await;
        }
        let page = Page { after: None, limit: 2 };
        let first = db.store.list_releases(db.team, app.id, page).await.unwrap();
        let second = Page {
            after: first.next,
            limit: 2,
        };
        let second = db.store.list_releases(db.team, app.id, second).await.unwrap();
        let versions: Vec<_> = first
            .items
            .iter()
            .chain(&second.items)
            .map(|row| row.version.0)
            .collect();
        assert_eq!((versions, second.next), (vec![3, 2, 1], None));
        let live: Vec<_> = first.items.iter().map(|row| row.live).collect();
        assert_eq!(live, [true, false]);
        let deployments = db.store.list_deployments(db.team, app.id, page).await.unwrap();
        assert_eq!(deployments.items[0].release, Some(ReleaseVersion(3)));
        assert!(deployments.next.is_some());
    })
    .await;
}
