//! Who gets the next deployment, and what is remembered of the workers that had it before.

use std::time::Duration;

use windlass_domain::{DeploymentId, TeamId};
use windlass_store::{Again, Claim, Wanted};

use crate::support::{Db, LEASE, new_app, new_deployment, push, with_db, worker};

/// Claims as soon as there is something to claim.
async fn next(db: &Db) -> Claim {
    loop {
        if let Some(claim) = db.claim().await {
            return claim;
        }
        tokio::task::yield_now().await;
    }
}

async fn push_of(db: &Db, team: TeamId, name: &str) -> DeploymentId {
    let app = db.store.create_app(team, new_app(name)).await.unwrap();
    let asked = db.store.create_deployment(team, app.id, new_deployment(push())).await;
    asked.unwrap().unwrap().id
}

#[tokio::test]
async fn a_death_is_a_lease_that_ran_out_in_other_hands() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.push(&app).await;
        let (one, two) = (worker(), worker());
        let first = db
            .store
            .claim_deployment(one, Duration::ZERO, Wanted::Any)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((first.deaths, first.faults), (0, 0));
        let own = db
            .store
            .claim_deployment(one, Duration::ZERO, Wanted::Any)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (own.attempt, own.deaths),
            (2, 0),
            "it lives, and takes back what is its own"
        );
        let other = db
            .store
            .claim_deployment(two, LEASE, Wanted::Any)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((other.attempt, other.deaths), (3, 1));

        let id = other.deployment.id;
        assert!(db.store.release_deployment(id, 3, Again::AtOnce).await.unwrap());
        let handed_over = next(&db).await;
        assert_eq!(
            (handed_over.deaths, handed_over.faults),
            (1, 0),
            "a hand-over is neither"
        );
        for deaths in 2..=3 {
            db.raw_do("update deployments set lease_until = now() - interval '1 second'")
                .await;
            assert_eq!(next(&db).await.deaths, deaths);
        }
    })
    .await;
}

#[tokio::test]
async fn a_deployment_that_waited_for_docker_has_no_fault() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.push(&app).await;
        let claim = next(&db).await;
        let rest = Again::After(Duration::from_millis(1));
        let (id, attempt) = (claim.deployment.id, claim.attempt);
        assert!(db.store.release_deployment(id, attempt, rest).await.unwrap());
        let again = next(&db).await;
        assert_eq!((again.deployment.id, again.faults, again.deaths), (id, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn without_a_slot_for_builds_a_begun_one_is_taken_over_and_a_cancelled_one_is_ended() {
    with_db(|db| async move {
        let (begun, waits) = (db.app("begun").await, db.app("waits").await);
        let id = db.push(&begun).await.id;
        let taken = async |wanted| db.store.claim_deployment(worker(), LEASE, wanted).await.unwrap();
        assert!(taken(Wanted::Built).await.is_none(), "nobody has given it a slot");
        let claim = next(&db).await;
        db.raw_do("update deployments set lease_until = now() - interval '1 second'")
            .await;
        assert!(taken(Wanted::Cancelled).await.is_none());
        assert_eq!(taken(Wanted::Built).await.unwrap().deployment.id, id);
        assert_eq!(claim.deployment.id, id);

        db.push(&waits).await;
        assert!(taken(Wanted::Built).await.is_none(), "that one has not begun");
        db.raw_do("update deployments set lease_until = now() - interval '1 second' where status = 'running'")
            .await;
        db.store.request_cancel(db.team, begun.id, id, db.by).await.unwrap();
        let ended = taken(Wanted::Cancelled).await.unwrap().deployment;
        assert_eq!((ended.id, ended.cancel_requested), (id, true));
    })
    .await;
}

#[tokio::test]
async fn what_was_begun_and_has_waited_too_long_is_ended_though_nothing_can_be_done_for_it() {
    with_db(|db| async move {
        let (begun, waits) = (db.app("begun").await, db.app("waits").await);
        let id = db.push(&begun).await.id;
        let claim = next(&db).await;
        db.push(&waits).await;
        let taken = async |wanted| db.store.claim_deployment(worker(), LEASE, wanted).await.unwrap();
        let overdue = Wanted::Overdue(Duration::from_secs(3600));
        db.raw_do("update deployments set started_at = now() - interval '61 minutes' where status = 'running'")
            .await;
        assert!(taken(overdue).await.is_none(), "somebody is at it");
        db.raw_do(
            "update deployments set lease_until = now() - interval '1 second', started_at = now() - interval '59 minutes'
             where status = 'running'",
        )
        .await;
        assert!(taken(overdue).await.is_none(), "it may wait");
        db.raw_do("update deployments set started_at = now() - interval '61 minutes' where status = 'running'")
            .await;
        assert!(taken(Wanted::Cancelled).await.is_none(), "there is no room for it");
        let claimed = taken(overdue).await.unwrap();
        assert_eq!((claimed.deployment.id, claimed.attempt), (id, claim.attempt + 1));
        assert!(taken(overdue).await.is_none(), "the other one has not begun");
    })
    .await;
}

#[tokio::test]
async fn a_fault_is_what_made_a_worker_put_a_deployment_off() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.push(&app).await;
        for faults in 0..3 {
            let claim = next(&db).await;
            assert_eq!((claim.faults, claim.deaths), (faults, 0));
            let pause = Duration::from_millis(1);
            let (id, attempt) = (claim.deployment.id, claim.attempt);
            assert!(
                db.store
                    .release_deployment(id, attempt, Again::AfterFault(pause))
                    .await
                    .unwrap()
            );
            assert!(
                !db.store
                    .release_deployment(id, attempt, Again::AfterFault(pause))
                    .await
                    .unwrap(),
                "it is counted once"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn nobody_waits_behind_the_hundred_deployments_of_another_team() {
    with_db(|db| async move {
        let mut hundred = Vec::new();
        for number in 0..100 {
            hundred.push(push_of(&db, db.team, &format!("app-{number}")).await);
        }
        let other = db.other_team().await;
        let one = push_of(&db, other, "shop").await;

        let order = [next(&db).await, next(&db).await, next(&db).await].map(|claim| claim.deployment.id);
        assert_eq!(order, [hundred[0], one, hundred[1]]);
        let two = push_of(&db, other, "blog").await;
        assert_eq!(
            next(&db).await.deployment.id,
            two,
            "two of one team run, one of the other"
        );
    })
    .await;
}

#[tokio::test]
async fn what_a_dead_worker_left_goes_before_what_waits() {
    with_db(|db| async move {
        let abandoned = push_of(&db, db.team, "abandoned").await;
        let running = push_of(&db, db.team, "running").await;
        assert_eq!(
            [next(&db).await, next(&db).await].map(|claim| claim.deployment.id),
            [abandoned, running]
        );
        let other = db.other_team().await;
        let waiting = push_of(&db, other, "waiting").await;
        db.raw_do(
            "update deployments set lease_until = now() - interval '1 second'
             where app_id = (select id from apps where name = 'abandoned')",
        )
        .await;

        assert_eq!(next(&db).await.deployment.id, abandoned);
        assert_eq!(next(&db).await.deployment.id, waiting);
    })
    .await;
}
