use std::{collections::HashSet, time::Duration};

use windlass_domain::{DeploymentKind, DeploymentStatus, ReleaseVersion, Step};
use windlass_store::{Again, CancelOutcome, Heartbeat, Outcome, Wanted};

use crate::support::{LEASE, push, with_db, worker};

#[tokio::test(flavor = "multi_thread")]
async fn eight_racing_claimers_get_one_running_deployment_of_each_app() {
    with_db(|db| async move {
        for app in ["one", "two", "three"] {
            let app = db.app(app).await;
            // These do not supersede each other: all three wait.
            for version in 1..=3 {
                db.ask(
                    &app,
                    DeploymentKind::Rollback {
                        to: ReleaseVersion(version),
                    },
                )
                .await;
                db.push(&app).await;
            }
        }
        let claimers: Vec<_> = (0..8)
            .map(|_| {
                let store = db.store.clone();
                tokio::spawn(async move { store.claim_deployment(worker(), LEASE, Wanted::Any).await.unwrap() })
            })
            .collect();
        let mut apps = Vec::new();
        for claimer in claimers {
            apps.extend(claimer.await.unwrap().map(|claim| claim.app.id));
        }
        let distinct: HashSet<_> = apps.iter().collect();
        assert_eq!((apps.len(), distinct.len()), (3, 3));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_deployed_exactly_once_however_many_work() {
    with_db(|db| async move {
        for name in ["a", "b", "c", "d"] {
            let app = db.app(name).await;
            db.ask(&app, DeploymentKind::Rollback { to: ReleaseVersion(1) }).await;
            db.push(&app).await;
        }
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let store = db.store.clone();
                tokio::spawn(async move {
                    let mut done = Vec::new();
                    while store.oldest_pending_age().await.unwrap().is_some() {
                        let Some(claim) = store.claim_deployment(worker(), LEASE, Wanted::Any).await.unwrap() else {
                            continue;
                        };
                        let (id, attempt) = (claim.deployment.id, claim.attempt);
                        assert!(store.finish_deployment(id, attempt, Outcome::Succeeded).await.unwrap());
                        done.push(id);
                    }
                    done
                })
            })
            .collect();
        let mut done = Vec::new();
        for worker in workers {
            done.extend(worker.await.unwrap());
        }
        let distinct: HashSet<_> = done.iter().collect();
        assert_eq!((done.len(), distinct.len()), (8, 8));
    })
    .await;
}

#[tokio::test]
async fn a_newer_deployment_supersedes_older_ones_by_the_rules() {
    with_db(|db| async move {
        let fetch = || DeploymentKind::Fetch {
            reference: "main".parse().unwrap(),
            commit: None,
        };
        let rollback = || DeploymentKind::Rollback { to: ReleaseVersion(1) };
        let config = || DeploymentKind::Config;
        let kinds = [
            ("push", push()),
            ("fetch", fetch()),
            ("config", config()),
            ("rollback", rollback()),
        ];
        let survives = [
            ("push", "rollback"),
            ("fetch", "rollback"),
            ("config", "push"),
            ("config", "fetch"),
            ("config", "rollback"),
        ];
        for (newer_name, newer_kind) in &kinds {
            for (older_name, older_kind) in &kinds {
                let app = db.app(&format!("{newer_name}-over-{older_name}")).await;
                let older = db.ask(&app, older_kind.clone()).await;
                let newer = db.ask(&app, newer_kind.clone()).await;
                let claim = db.claim().await.unwrap();
                let older = db.get(&older).await;
                if survives.contains(&(newer_name, older_name)) {
                    assert_eq!(claim.deployment.id, older.id, "{newer_name} over {older_name}");
                } else {
                    assert_eq!(claim.deployment.id, newer.id, "{newer_name} over {older_name}");
                    assert_eq!(older.status, DeploymentStatus::Superseded);
                    assert_eq!(older.superseded_by, Some(newer.id));
                    assert!(older.finished_at.is_some());
                    let log = db.store.deployment_log(db.team, older.id, 0, 10).await.unwrap();
                    assert_eq!(log[0].text, format!(" !     Superseded by {}", newer.id));
                }
                db.store.delete_app(db.team, app.id).await.unwrap();
                let end = db
                    .store
                    .finish_deployment(claim.deployment.id, claim.attempt, Outcome::Cancelled)
                    .await;
                assert!(end.unwrap());
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_waits_is_superseded_while_another_runs_and_what_runs_goes_on() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let first = db.push(&app).await;
        db.claim().await.unwrap();
        let (second, third) = (db.push(&app).await, db.push(&app).await);
        assert!(db.claim().await.is_none());
        assert_eq!(db.get(&first).await.status, DeploymentStatus::Running);
        assert_eq!(db.get(&second).await.superseded_by, Some(third.id));
        assert_eq!(db.get(&third).await.status, DeploymentStatus::Pending);
    })
    .await;
}

#[tokio::test]
async fn deployments_of_different_apps_run_side_by_side_oldest_first() {
    with_db(|db| async move {
        let (one, two) = (db.app("one").await, db.app("two").await);
        let (first, second) = (db.push(&one).await, db.push(&two).await);
        assert!(db.store.oldest_pending_age().await.unwrap().is_some());
        assert_eq!(db.claim().await.unwrap().deployment.id, first.id);
        assert_eq!(db.claim().await.unwrap().deployment.id, second.id);
        assert!(db.store.oldest_pending_age().await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_deployment_that_was_handed_over_is_claimed_at_once() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.push(&app).await;
        let claim = db.claim().await.unwrap();
        assert!(db.claim().await.is_none());
        assert!(
            db.store
                .release_deployment(claim.deployment.id, claim.attempt, Again::AtOnce)
                .await
                .unwrap()
        );
        let again = db.claim().await.unwrap();
        assert_eq!((again.deployment.id, again.attempt), (claim.deployment.id, 2));
    })
    .await;
}

#[tokio::test]
async fn a_waiting_deployment_is_cancelled_at_once_and_a_running_one_by_its_worker() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let waiting = db.push(&app).await;
        let cancelled = db
            .store
            .request_cancel(db.team, app.id, waiting.id, db.by)
            .await
            .unwrap();
        let CancelOutcome::Requested(row) = cancelled else {
            panic!("{cancelled:?}")
        };
        assert_eq!(row.status, DeploymentStatus::Cancelled);
        assert!(db.claim().await.is_none());

        let running = db.push(&app).await;
        let me = worker();
        let claim = db
            .store
            .claim_deployment(me, LEASE, Wanted::Any)
            .await
            .unwrap()
            .unwrap();
        let beat = || db.store.heartbeat(me, running.id, claim.attempt, LEASE);
        assert_eq!(
            beat().await.unwrap(),
            Heartbeat::Held {
                cancel_requested: false
            }
        );
        for _ in 0..2 {
            let asked = db
                .store
                .request_cancel(db.team, app.id, running.id, db.by)
                .await
                .unwrap();
            let CancelOutcome::Requested(row) = asked else {
                panic!("{asked:?}")
            };
            assert_eq!((row.status, row.cancel_requested), (DeploymentStatus::Running, true));
        }
        assert_eq!(beat().await.unwrap(), Heartbeat::Held { cancel_requested: true });
        assert!(
            db.store
                .finish_deployment(running.id, claim.attempt, Outcome::Cancelled)
                .await
                .unwrap()
        );
        let late = db
            .store
            .request_cancel(db.team, app.id, running.id, db.by)
            .await
            .unwrap();
        assert_eq!(late, CancelOutcome::AlreadyOver(DeploymentStatus::Cancelled));
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_deployment_whose_worker_died_is_still_finished() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let deployment = db.push(&app).await;
        db.store
            .claim_deployment(worker(), Duration::ZERO, Wanted::Any)
            .await
            .unwrap()
            .unwrap();
        db.store
            .request_cancel(db.team, app.id, deployment.id, db.by)
            .await
            .unwrap();
        let claim = db.claim().await.unwrap();
        assert_eq!(claim.attempt, 2);
        assert!(claim.deployment.cancel_requested);
    })
    .await;
}

#[tokio::test]
async fn steps_are_kept_with_attempt_and_outcome() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let deployment = db.push(&app).await;
        db.store
            .claim_deployment(worker(), Duration::ZERO, Wanted::Any)
            .await
            .unwrap()
            .unwrap();
        assert!(db.store.enter_step(deployment.id, 1, Step::Fetch).await.unwrap());
        assert!(
            db.store
                .finish_step(deployment.id, 1, Step::Fetch, "done")
                .await
                .unwrap()
        );
        assert!(db.store.enter_step(deployment.id, 1, Step::Build).await.unwrap());
        let claim = db.claim().await.unwrap();
        assert_eq!(claim.deployment.step, Some(Step::Build));
        assert!(db.store.enter_step(deployment.id, 2, Step::Build).await.unwrap());
        let steps = db.store.deployment_steps(db.team, deployment.id).await.unwrap();
        let seen: Vec<_> = steps
            .iter()
            .map(|step| (step.step, step.attempt, step.outcome.as_deref()))
            .collect();
        assert_eq!(
            seen,
            [
                (Step::Fetch, 1, Some("done")),
                (Step::Build, 1, Some("abandoned")),
                (Step::Build, 2, None)
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn a_deployment_that_cannot_be_read_fails_and_keeps_no_other_waiting() {
    with_db(|db| async move {
        let (odd_kind, odd_app, good) = (db.app("kind").await, db.app("app").await, db.app("good").await);
        let unreadable = [db.push(&odd_kind).await.id, db.push(&odd_app).await.id];
        let good = db.push(&good).await;
        for (statement, id) in [
            (
                r#"update deployments set kind = '{"type": "unheard_of"}' where app_id = $1"#,
                odd_kind.id,
            ),
            (
                "update apps set settings = '{\"unheard_of\": 1}' where id = $1",
                odd_app.id,
            ),
        ] {
            let done = sqlx::query(statement).bind(id.uuid()).execute(&db.raw).await.unwrap();
            assert_eq!(done.rows_affected(), 1);
        }
        assert_eq!(db.claim().await.unwrap().deployment.id, good.id);
        for id in unreadable {
            let (status, code): (String, String) =
                sqlx::query_as("select status, failure->>'code' from deployments where id = $1")
                    .bind(id.uuid())
                    .fetch_one(&db.raw)
                    .await
                    .unwrap();
            assert_eq!((status.as_str(), code.as_str()), ("failed", "internal"));
            let log = db.store.deployment_log(db.team, id, 0, 10).await.unwrap();
            assert!(log[0].text.contains("cannot read"), "{log:?}");
        }
        assert!(db.claim().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn what_a_dead_worker_held_is_free_at_once_and_counts_as_a_death() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.push(&app).await;
        let (dead, heir) = (worker(), worker());
        let held = db
            .store
            .claim_deployment(dead, LEASE, Wanted::Any)
            .await
            .unwrap()
            .unwrap();
        assert!(db.store.lease_app(app.id, dead, LEASE).await.unwrap());
        db.store.expire_leases(worker()).await.unwrap();
        let none = db.store.claim_deployment(heir, LEASE, Wanted::Any).await.unwrap();
        assert!(none.is_none(), "another worker's death is not this one's");
        db.store.expire_leases(dead).await.unwrap();
        let taken = db
            .store
            .claim_deployment(heir, LEASE, Wanted::Any)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((taken.deployment.id, taken.deaths), (held.deployment.id, 1));
        assert!(db.store.lease_app(app.id, heir, LEASE).await.unwrap());
    })
    .await;
}
