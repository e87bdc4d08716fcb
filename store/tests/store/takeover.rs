//! One release takes the place of another: only in the hands of the worker that looks after the app, and the one before departs.

use std::time::Duration;

use windlass_domain::{AppId, Failure, FailureCode, InstanceId, InstanceState, ProcessType, ReleaseId, Step};
use windlass_store::{AppRow, Claim, InstanceEnd, NewInstance, Outcome, ReleaseRow, WorkerId};

use crate::support::{Db, LEASE, with_db, worker};

fn web(app: AppId, release: ReleaseId) -> NewInstance {
    NewInstance {
        id: InstanceId::generate(),
        app,
        release,
        process: ProcessType::web(),
        n: 1,
        restart_seq: 0,
    }
}

/// A push that is built and named as candidate.
async fn candidate(db: &Db, app: &AppRow) -> (Claim, ReleaseRow) {
    db.push(app).await;
    let claim = db.claim().await.unwrap();
    let release = db.build(&claim).await;
    let (id, attempt) = (claim.deployment.id, claim.attempt);
    assert!(db.store.set_candidate(id, attempt, release.id).await.unwrap());
    (claim, release)
}

/// `drain` and `retire` of a deployment, each with its outcome.
async fn departure(db: &Db, claim: &Claim) -> Vec<(Step, Option<String>)> {
    let steps = db.store.deployment_steps(db.team, claim.deployment.id).await.unwrap();
    let late = steps
        .into_iter()
        .filter(|step| matches!(step.step, Step::Drain | Step::Retire));
    late.map(|step| (step.step, step.outcome)).collect()
}

async fn departing(db: &Db, app: &AppRow) -> Option<Step> {
    db.store.app_work(app.id).await.unwrap().unwrap().departing
}

async fn can_do_nothing(db: &Db, worker: WorkerId, app: AppId, release: ReleaseId) {
    let failure = Failure::new(FailureCode::Exited, "it ended", "look");
    let inserted = db.store.insert_instance(worker, web(app, release)).await.unwrap();
    assert_eq!(inserted, None);
    assert!(!db.store.promote(worker, app, release).await.unwrap());
    assert!(!db.store.fail_candidate(worker, (app, release), &failure).await.unwrap());
    let work = db.store.app_work(app).await.unwrap().unwrap();
    assert_eq!((work.candidate.unwrap().id, work.candidate_failure), (release, None));
    assert_eq!((work.live, work.instances.len()), (None, 0));
}

#[tokio::test]
async fn only_the_worker_that_holds_the_app_changes_what_runs_of_it() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let (_, release) = candidate(&db, &app).await;
        let (stale, holder) = (worker(), worker());
        can_do_nothing(&db, stale, app.id, release.id).await;
        assert!(db.store.lease_app(app.id, stale, Duration::ZERO).await.unwrap());
        can_do_nothing(&db, stale, app.id, release.id).await;
        assert!(db.store.lease_app(app.id, holder, LEASE).await.unwrap());
        can_do_nothing(&db, stale, app.id, release.id).await;
        db.store.unlease_app(app.id, stale).await.unwrap();

        let inserted = db.store.insert_instance(holder, web(app.id, release.id)).await.unwrap();
        assert!(inserted.is_some());
        assert!(db.store.promote(holder, app.id, release.id).await.unwrap());
    })
    .await;
}

/// What an instance and the departure of the release before it look like.
async fn rows(db: &Db, app: AppId) -> (Vec<(InstanceId, InstanceState, bool)>, Option<Step>) {
    let work = db.store.app_work(app).await.unwrap().unwrap();
    let rows = work.instances.iter().map(|row| (row.id, row.state, row.admitted));
    (rows.collect(), work.departing)
}

#[tokio::test]
async fn a_worker_that_has_lost_the_app_writes_nothing_of_its_instances() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let first = db.deployed(&app).await;
        let healthy = serving(&db, web(app.id, first.id)).await;
        let (claim, second) = candidate(&db, &app).await;
        db.go_live_as_candidate(&claim, &second).await;
        let starting = db.start(web(app.id, second.id)).await.id;
        let before = rows(&db, app.id).await;
        assert_eq!(before.1, Some(Step::Drain));

        let writes_nothing = async |stale: WorkerId| {
            assert!(!db.store.departed(stale, app.id, Step::Drain).await.unwrap());
            for instance in [healthy, starting, InstanceId::generate()] {
                assert!(!db.store.admit_instance(stale, instance).await.unwrap());
                for state in InstanceState::ALL {
                    let end = InstanceEnd::default();
                    let moved = db.store.set_instance_state(stale, instance, state, end).await;
                    assert!(!moved.unwrap(), "{state:?}");
                }
            }
            assert_eq!(rows(&db, app.id).await, before);
        };
        writes_nothing(worker()).await;
        // Its lease ran out, nobody else has the app yet,
        db.raw_do("update app_states set lease_until = now() - interval '1 second'")
            .await;
        writes_nothing(db.keeper).await;
        // and then somebody has.
        let holder = worker();
        assert!(db.store.lease_app(app.id, holder, LEASE).await.unwrap());
        writes_nothing(db.keeper).await;

        assert!(db.store.admit_instance(holder, healthy).await.unwrap());
        assert!(!db.store.admit_instance(holder, starting).await.unwrap());
        assert!(db.store.departed(holder, app.id, Step::Drain).await.unwrap());
        let drains = InstanceState::Draining;
        let moved = db
            .store
            .set_instance_state(holder, healthy, drains, InstanceEnd::default());
        assert!(moved.await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn without_the_app_a_worker_may_say_that_one_is_unhealthy_and_that_one_was_stopped() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let release = db.deployed(&app).await;
        let id = serving(&db, web(app.id, release.id)).await;
        db.store.unlease_app(app.id, db.keeper).await.unwrap();
        assert!(!db.store.instance_stopped(id).await.unwrap(), "it does not drain");
        for first in [true, false] {
            assert_eq!(db.store.instance_unhealthy(id).await.unwrap(), first);
        }
        db.keep(app.id).await;
        set(&db, id, InstanceState::Draining).await;
        db.store.unlease_app(app.id, db.keeper).await.unwrap();
        assert!(!db.store.instance_unhealthy(id).await.unwrap(), "it goes anyway");
        for first in [true, false] {
            assert_eq!(db.store.instance_stopped(id).await.unwrap(), first);
        }
        let listed = db.store.list_all_instances(db.team, app.id).await.unwrap();
        assert_eq!(listed[0].state, InstanceState::Stopped);
        assert!(listed[0].finished_at.is_some());
    })
    .await;
}

#[tokio::test]
async fn whoever_takes_an_expired_app_waits_for_the_last_write_of_the_one_before() {
    with_db(|db| async move {
        let app = db.app("shop").await.id;
        let short = Duration::from_millis(200);
        assert!(db.store.lease_app(app, worker(), short).await.unwrap());
        let mut last_write = db.raw.begin().await.unwrap();
        sqlx::query("select from app_states for no key update")
            .execute(&mut *last_write)
            .await
            .unwrap();
        let (store, taker) = (db.store.clone(), worker());
        let taken = tokio::spawn(async move { while !store.lease_app(app, taker, LEASE).await.unwrap() {} });
        db.until(
            "select exists (select from pg_stat_activity
                            where datname = current_database() and wait_event_type = 'Lock')",
        )
        .await;
        assert!(!taken.is_finished());
        last_write.commit().await.unwrap();
        taken.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_first_release_makes_nobody_depart() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let (claim, release) = candidate(&db, &app).await;
        db.start(web(app.id, release.id)).await;
        let keeper = db.keep(app.id).await;
        assert!(db.store.promote(keeper, app.id, release.id).await.unwrap());
        assert_eq!(
            (departing(&db, &app).await, departure(&db, &claim).await),
            (None, vec![])
        );
        db.store.departed(db.keeper, app.id, Step::Drain).await.unwrap();
        db.store.departed(db.keeper, app.id, Step::Retire).await.unwrap();
        assert_eq!(departure(&db, &claim).await, []);
    })
    .await;
}

#[tokio::test]
async fn the_release_before_drains_and_then_retires_after_the_deployment_has_succeeded() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let first = db.deployed(&app).await;
        db.start(web(app.id, first.id)).await;
        let (claim, second) = candidate(&db, &app).await;
        assert_eq!(departure(&db, &claim).await, []);
        db.go_live_as_candidate(&claim, &second).await;

        let done = || Some("done".to_owned());
        assert_eq!(departing(&db, &app).await, Some(Step::Drain));
        assert_eq!(departure(&db, &claim).await, [(Step::Drain, None)]);
        // Each may be recorded twice: a worker may be killed before it knows that it is.
        for _ in 0..2 {
            db.store.departed(db.keeper, app.id, Step::Drain).await.unwrap();
            assert_eq!(departing(&db, &app).await, Some(Step::Retire));
            assert_eq!(
                departure(&db, &claim).await,
                [(Step::Drain, done()), (Step::Retire, None)]
            );
        }
        for _ in 0..2 {
            db.store.departed(db.keeper, app.id, Step::Retire).await.unwrap();
            assert_eq!(departing(&db, &app).await, None);
            assert_eq!(
                departure(&db, &claim).await,
                [(Step::Drain, done()), (Step::Retire, done())]
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_departure_goes_on_when_another_worker_takes_the_deployment() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let first = db.deployed(&app).await;
        db.start(web(app.id, first.id)).await;
        let (claim, second) = candidate(&db, &app).await;
        let keeper = db.keep(app.id).await;
        assert!(db.store.promote(keeper, app.id, second.id).await.unwrap());
        db.raw_do("update deployments set lease_until = now() - interval '1 second'")
            .await;
        let again = db.claim().await.unwrap();
        assert_eq!((again.deployment.id, again.attempt), (claim.deployment.id, 2));
        assert_eq!(departure(&db, &claim).await, [(Step::Drain, None)]);
        let end = db
            .store
            .finish_deployment(again.deployment.id, 2, Outcome::Succeeded)
            .await;
        assert!(end.unwrap());
        db.store.departed(db.keeper, app.id, Step::Drain).await.unwrap();
        assert_eq!(departing(&db, &app).await, Some(Step::Retire));
    })
    .await;
}

#[tokio::test]
async fn what_still_departs_goes_on_with_the_next_release() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let first = db.deployed(&app).await;
        db.start(web(app.id, first.id)).await;
        let (claim, second) = candidate(&db, &app).await;
        db.go_live_as_candidate(&claim, &second).await;
        let (next, third) = candidate(&db, &app).await;
        db.go_live_as_candidate(&next, &third).await;

        let given_over = vec![(Step::Drain, Some("abandoned".to_owned()))];
        assert_eq!(departure(&db, &claim).await, given_over, "no step stays open for ever");
        assert_eq!(departure(&db, &next).await, [(Step::Drain, None)]);
        assert_eq!(departing(&db, &app).await, Some(Step::Drain));
    })
    .await;
}

async fn set(db: &Db, instance: InstanceId, state: InstanceState) {
    let end = InstanceEnd::default();
    assert!(
        db.store
            .set_instance_state(db.keeper, instance, state, end)
            .await
            .unwrap()
    );
}

/// A healthy instance that listens.
async fn serving(db: &Db, new: NewInstance) -> InstanceId {
    let id = db.start(new).await.id;
    let address = "10.1.2.3:8080".parse().unwrap();
    db.store.set_instance_container(id, "abc", Some(address)).await.unwrap();
    set(db, id, InstanceState::Healthy).await;
    id
}

async fn routed(db: &Db) -> Vec<InstanceId> {
    let apps = db.store.routed_apps().await.unwrap();
    apps.into_iter()
        .flat_map(|(_, upstreams)| upstreams)
        .map(|one| one.instance)
        .collect()
}

#[tokio::test]
async fn an_admitted_instance_has_requests_until_it_drains_or_another_release_goes_live() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let live = db.deployed(&app).await;
        let old = serving(&db, web(app.id, live.id)).await;
        let (claim, release) = candidate(&db, &app).await;
        let new = serving(
            &db,
            NewInstance {
                n: 2,
                ..web(app.id, release.id)
            },
        )
        .await;
        let starting = db
            .start(NewInstance {
                n: 3,
                ..web(app.id, release.id)
            })
            .await
            .id;
        assert_eq!(routed(&db).await, [old], "healthy is not admitted");
        for id in [new, starting] {
            db.store.admit_instance(db.keeper, id).await.unwrap();
        }
        assert_eq!(routed(&db).await, [old, new], "what is not healthy cannot be admitted");

        let keeper = db.keep(app.id).await;
        let failure = Failure::new(FailureCode::Exited, "it ended", "look");
        let unfit = (app.id, release.id);
        assert!(db.store.fail_candidate(keeper, unfit, &failure).await.unwrap());
        let (id, attempt) = (claim.deployment.id, claim.attempt);
        let failed = Outcome::Failed(failure);
        assert!(db.store.finish_deployment(id, attempt, failed).await.unwrap());
        assert_eq!(routed(&db).await, [old, new], "it stands in for an old one");
        set(&db, new, InstanceState::Draining).await;
        assert_eq!(routed(&db).await, [old]);

        let (next, third) = candidate(&db, &app).await;
        let [first, second] = [4, 5].map(|n| NewInstance {
            n,
            ..web(app.id, third.id)
        });
        let left = NewInstance {
            n: 6,
            ..web(app.id, release.id)
        };
        let mut all = Vec::new();
        for new in [first, second, left] {
            all.push(serving(&db, new).await);
        }
        for id in [all[0], all[2]] {
            db.store.admit_instance(db.keeper, id).await.unwrap();
        }
        assert_eq!(routed(&db).await, [old, all[0], all[2]]);
        db.go_live_as_candidate(&next, &third).await;
        assert_eq!(routed(&db).await, all[..2], "at one stroke");
    })
    .await;
}
