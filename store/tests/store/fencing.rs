use std::time::Duration;

use windlass_domain::{DeploymentStatus, Failure, FailureCode, ReleaseId, Step};
use windlass_store::{Again, Heartbeat, NewRelease, Outcome, StoreError, Wanted};

use crate::support::{COMMIT, LEASE, new_image, with_db, worker};

#[tokio::test]
async fn an_expired_lease_is_taken_over_and_the_stale_attempt_can_write_nothing() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.push(&app).await;
        let dead = worker();
        let stale = db
            .store
            .claim_deployment(dead, Duration::ZERO, Wanted::Any)
            .await
            .unwrap()
            .unwrap();
        let claim = db.claim().await.unwrap();
        assert_eq!((claim.deployment.id, claim.attempt), (stale.deployment.id, 2));

        let (store, id, old) = (&db.store, stale.deployment.id, stale.attempt);
        assert_eq!(store.heartbeat(dead, id, old, LEASE).await.unwrap(), Heartbeat::Lost);
        assert!(!store.enter_step(id, old, Step::Build).await.unwrap());
        assert!(!store.finish_step(id, old, Step::Build, "done").await.unwrap());
        assert!(!store.set_commit(id, old, &COMMIT.parse().unwrap(), None).await.unwrap());
        assert_eq!(store.record_image(id, old, new_image(id)).await.unwrap(), None);
        let image = store
            .record_image(id, claim.attempt, new_image(id))
            .await
            .unwrap()
            .unwrap();
        let release = NewRelease {
            image: image.id,
            config_version: 0,
            processes: image.processes,
            settings: app.settings.clone(),
            description: "stale".to_owned(),
        };
        assert_eq!(store.record_release(id, old, release).await.unwrap(), None);
        assert!(!store.set_candidate(id, old, ReleaseId::generate()).await.unwrap());
        assert!(!store.release_deployment(id, old, Again::AtOnce).await.unwrap());
        assert!(!store.finish_deployment(id, old, Outcome::Succeeded).await.unwrap());
        assert_eq!(db.get(&claim.deployment).await.status, DeploymentStatus::Running);
    })
    .await;
}

#[tokio::test]
async fn a_late_heartbeat_keeps_what_nobody_else_took() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let deployment = db.push(&app).await;
        let me = worker();
        db.store
            .claim_deployment(me, Duration::ZERO, Wanted::Any)
            .await
            .unwrap()
            .unwrap();
        let held = db.store.heartbeat(me, deployment.id, 1, LEASE).await.unwrap();
        assert_eq!(
            held,
            Heartbeat::Held {
                cancel_requested: false
            }
        );
        assert!(db.claim().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn the_next_attempt_finds_what_the_one_before_it_made() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.push(&app).await;
        let first = db
            .store
            .claim_deployment(worker(), Duration::ZERO, Wanted::Any)
            .await
            .unwrap()
            .unwrap();
        assert!(first.image.is_none() && first.release.is_none());
        let release = db.build(&first).await;
        let second = db.claim().await.unwrap();
        assert_eq!(second.release.as_ref(), Some(&release));
        assert_eq!(second.image.as_ref().unwrap().id, release.image);
        assert_eq!(
            db.build(&second).await,
            release,
            "a deployment has one release, however often it is tried"
        );
    })
    .await;
}

#[tokio::test]
async fn the_same_end_may_be_recorded_twice_and_another_end_may_not() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let deployment = db.push(&app).await;
        db.claim().await.unwrap();
        // Evidence is what the user's program printed, and Postgres keeps no NUL.
        let failure = Failure::new(FailureCode::Exited, "it ended", "look").with_evidence(["a\0b".to_owned()]);
        let failed = || Outcome::Failed(failure.clone());
        assert!(db.store.finish_deployment(deployment.id, 1, failed()).await.unwrap());
        assert!(db.store.finish_deployment(deployment.id, 1, failed()).await.unwrap());
        assert!(
            !db.store
                .finish_deployment(deployment.id, 1, Outcome::Succeeded)
                .await
                .unwrap()
        );
        let row = db.get(&deployment).await;
        assert_eq!(row.status, DeploymentStatus::Failed);
        assert_eq!(row.failure.unwrap().evidence, ["ab"]);
    })
    .await;
}

#[tokio::test]
async fn a_deployment_that_fails_takes_its_candidate_back() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.push(&app).await;
        let claim = db.claim().await.unwrap();
        let release = db.build(&claim).await;
        assert!(
            db.store
                .set_candidate(claim.deployment.id, 1, release.id)
                .await
                .unwrap()
        );
        assert!(
            db.store
                .finish_deployment(claim.deployment.id, 1, Outcome::Cancelled)
                .await
                .unwrap()
        );
        let keeper = db.keep(app.id).await;
        assert!(!db.store.promote(keeper, app.id, release.id).await.unwrap());
        assert_eq!(db.live(app.id).await, None);
    })
    .await;
}

#[tokio::test]
async fn one_worker_at_a_time_leases_an_app() {
    with_db(|db| async move {
        let app = db.app("shop").await.id;
        let (one, two) = (worker(), worker());
        assert!(db.store.lease_app(app, one, LEASE).await.unwrap());
        assert!(db.store.lease_app(app, one, LEASE).await.unwrap());
        assert!(!db.store.lease_app(app, two, LEASE).await.unwrap());
        db.store.unlease_app(app, two).await.unwrap();
        assert!(!db.store.lease_app(app, two, LEASE).await.unwrap());
        db.store.unlease_app(app, one).await.unwrap();
        assert!(db.store.lease_app(app, two, Duration::ZERO).await.unwrap());
        assert!(
            db.store.lease_app(app, one, LEASE).await.unwrap(),
            "an expired lease is free"
        );
    })
    .await;
}

#[tokio::test]
async fn a_deployment_that_was_given_up_rests_and_its_old_holder_can_do_nothing() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let id = db.push(&app).await.id;
        let me = worker();
        let claim = db
            .store
            .claim_deployment(me, LEASE, Wanted::Any)
            .await
            .unwrap()
            .unwrap();
        let hour = Duration::from_secs(3600);
        assert!(
            db.store
                .release_deployment(id, claim.attempt, Again::AfterFault(hour))
                .await
                .unwrap()
        );
        assert!(
            !db.store
                .release_deployment(id, claim.attempt, Again::AfterFault(hour))
                .await
                .unwrap()
        );
        assert!(db.claim().await.is_none(), "the delay is not over");
        let beat = db.store.heartbeat(me, id, claim.attempt, LEASE).await.unwrap();
        assert_eq!(beat, Heartbeat::Lost);
        assert!(!db.store.enter_step(id, claim.attempt, Step::Build).await.unwrap());
        let end = db.store.finish_deployment(id, claim.attempt, Outcome::Succeeded).await;
        assert!(!end.unwrap());
        sqlx::query("update deployments set lease_until = lease_until - interval '1 hour'")
            .execute(&db.raw)
            .await
            .unwrap();
        assert_eq!(db.claim().await.unwrap().attempt, 2);
    })
    .await;
}

#[tokio::test]
async fn a_deployment_that_rests_is_claimed_at_once_to_be_cancelled() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let id = db.push(&app).await.id;
        let claim = db.claim().await.unwrap();
        let hour = Duration::from_secs(3600);
        assert!(
            db.store
                .release_deployment(id, claim.attempt, Again::AfterFault(hour))
                .await
                .unwrap()
        );
        db.store.request_cancel(db.team, app.id, id, db.by).await.unwrap();
        assert!(db.claim().await.unwrap().deployment.cancel_requested);
    })
    .await;
}

#[tokio::test]
async fn a_lease_is_not_waited_for_longer_than_a_database_may_hang() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let id = db.push(&app).await.id;
        let me = worker();
        db.store
            .claim_deployment(me, LEASE, Wanted::Any)
            .await
            .unwrap()
            .unwrap();
        let mut stuck = db.raw.begin().await.unwrap();
        sqlx::query("select from deployments, app_states for update")
            .execute(&mut *stuck)
            .await
            .unwrap();
        let (beat, lease) = tokio::join!(
            db.store.heartbeat(me, id, 1, LEASE),
            db.store.lease_app(app.id, me, LEASE)
        );
        // Not the database's own limit: one that hangs keeps none.
        assert!(
            matches!(beat, Err(StoreError::Unavailable(sqlx::Error::Io(_)))),
            "{beat:?}"
        );
        assert!(
            matches!(lease, Err(StoreError::Unavailable(sqlx::Error::Io(_)))),
            "{lease:?}"
        );
        stuck.rollback().await.unwrap();
        let beat = db.store.heartbeat(me, id, 1, LEASE).await.unwrap();
        assert!(matches!(beat, Heartbeat::Held { .. }));
    })
    .await;
}
