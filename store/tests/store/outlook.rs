//! What plans and statuses are made from.

use std::time::Duration;

use windlass_domain::{DeploymentStatus, Failure, FailureCode, InstanceId, InstanceState, ProcessType, ReleaseVersion};
use windlass_store::{AppRow, InstanceEnd, InstanceRow, NewInstance, Outcome, Page, ReleaseRow, RollbackError};

use crate::support::{Db, with_db};

async fn start(db: &Db, release: &ReleaseRow, process: &str) -> InstanceRow {
    let new = NewInstance {
        id: InstanceId::generate(),
        app: release.app,
        release: release.id,
        process: process.parse().unwrap(),
        n: 1,
        restart_seq: 0,
    };
    db.start(new).await
}

async fn crash(db: &Db, release: &ReleaseRow, process: &str, (code, reason): (i64, &str)) {
    let instance = start(db, release, process).await;
    let end = InstanceEnd {
        exit_code: Some(code),
        reason: Some(reason.to_owned()),
    };
    let ended = db
        .store
        .set_instance_state(db.keeper, instance.id, InstanceState::Crashed, end)
        .await;
    assert!(ended.unwrap());
}

async fn loops(db: &Db, app: &AppRow) -> Vec<String> {
    let rows = db.store.crash_loops(db.team, app.id).await.unwrap();
    let told = rows.into_iter().map(|row| {
        format!(
            "{} of {}: {} times, last {:?} {}",
            row.process,
            row.release,
            row.crashes,
            row.exit_code,
            row.reason.unwrap_or_default()
        )
    });
    told.collect()
}

#[tokio::test]
async fn a_process_type_that_ends_three_times_and_is_not_healthy_is_in_a_crash_loop() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let release = db.deployed(&app).await;
        for end in [(1, "exited with code 1"), (1, "exited with code 1")] {
            crash(&db, &release, "web", end).await;
            crash(&db, &release, "clock", end).await;
            assert_eq!(loops(&db, &app).await, Vec::<String>::new());
        }
        crash(&db, &release, "web", (137, "out of memory")).await;
        crash(&db, &release, "clock", (1, "nobody wants it")).await;
        let told = ["web of v1: 3 times, last Some(137) out of memory"];
        assert_eq!(loops(&db, &app).await, told, "what is scaled to 0 is left out");

        let instance = start(&db, &release, "web").await;
        let healthy = db
            .store
            .set_instance_state(db.keeper, instance.id, InstanceState::Healthy, InstanceEnd::default())
            .await;
        assert!(healthy.unwrap());
        assert_eq!(loops(&db, &app).await, told, "a moment proves nothing");
        sqlx::query("update instances set healthy_at = now() - interval '11 seconds' where id = $1")
            .bind(instance.id.uuid())
            .execute(&db.raw)
            .await
            .unwrap();
        assert_eq!(loops(&db, &app).await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn ends_of_long_ago_and_of_other_releases_make_no_crash_loop() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let old = db.deployed(&app).await;
        let release = db.deployed(&app).await;
        for _ in 0..3 {
            crash(&db, &old, "web", (1, "old")).await;
            crash(&db, &release, "web", (1, "new")).await;
        }
        let age = async |minutes: i32| {
            let aged = sqlx::query("update instances set finished_at = finished_at - make_interval(mins => $1)");
            aged.bind(minutes).execute(&db.raw).await.unwrap();
        };
        let told = ["web of v2: 3 times, last Some(1) new"];
        assert_eq!(loops(&db, &app).await, told);
        age(19).await;
        assert_eq!(
            loops(&db, &app).await,
            told,
            "so long lie between three of the longest pauses"
        );
        age(1).await;
        assert_eq!(loops(&db, &app).await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn a_release_knows_how_its_deployment_fared() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.deployed(&app).await;
        db.push(&app).await;
        let claim = db.claim().await.unwrap();
        let running = db.build(&claim).await;
        assert_eq!(running.status, DeploymentStatus::Running);
        let failure = Failure::new(FailureCode::Exited, "it ended", "look");
        db.store
            .finish_deployment(claim.deployment.id, 1, Outcome::Failed(failure))
            .await
            .unwrap();
        let listed = db.store.list_releases(db.team, app.id, Page::default()).await.unwrap();
        let status: Vec<_> = listed.items.iter().map(|row| row.status).collect();
        assert_eq!(status, [DeploymentStatus::Failed, DeploymentStatus::Succeeded]);
        assert_eq!(
            db.store.next_release(db.team, app.id).await.unwrap(),
            ReleaseVersion(3),
            "a failed release keeps its number"
        );
    })
    .await;
}

#[tokio::test]
async fn looking_for_the_target_of_a_rollback_changes_nothing() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let target = async |to| db.store.rollback_target(db.team, app.id, to).await;
        assert!(matches!(target(None).await, Err(RollbackError::NoLiveRelease)));
        let first = db.deployed(&app).await;
        assert!(matches!(target(None).await, Err(RollbackError::NothingBefore)));
        db.deployed(&app).await;
        assert_eq!(target(None).await.unwrap().id, first.id);
        assert!(matches!(
            target(Some(ReleaseVersion(2))).await,
            Err(RollbackError::AlreadyLive)
        ));
        let other = db.other_team().await;
        let asked = db.store.rollback_target(other, app.id, None).await;
        assert!(matches!(asked, Err(RollbackError::NoSuchApp)));
        let page = Page::default();
        let deployments = db.store.list_deployments(db.team, app.id, page).await.unwrap();
        assert_eq!(deployments.items.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn the_last_starts_are_told_newest_first() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let release = db.deployed(&app).await;
        for seconds in [3, 2, 1] {
            let instance = start(&db, &release, "web").await;
            sqlx::query("update instances set healthy_at = created_at + make_interval(secs => $2) where id = $1")
                .bind(instance.id.uuid())
                .bind(f64::from(seconds))
                .execute(&db.raw)
                .await
                .unwrap();
        }
        start(&db, &release, "web").await;
        let starts = db.store.last_starts(db.team, app.id, &ProcessType::web(), 2).await;
        assert_eq!(starts.unwrap(), [1, 2].map(Duration::from_secs));
    })
    .await;
}
