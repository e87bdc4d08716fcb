use std::time::Duration;

use windlass_domain::{
    AppId, DeploymentId, DeploymentKind, Failure, FailureCode, ImageId, InstanceId, InstanceState, LogSource,
    ProcessType,
};
use windlass_store::{AppRow, InstanceEnd, NewInstance, NewRelease, Outcome, ReleaseRow, RollbackError};

use crate::support::{Db, with_db};

async fn removable(db: &Db, keep: u32) -> Vec<ImageId> {
    let images = db.store.removable_images(keep).await.unwrap();
    images.into_iter().map(|(_, image)| image.id).collect()
}

#[tokio::test]
async fn images_that_may_still_be_needed_are_kept() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let first = db.deployed(&app).await;
        // An image that never became a live release.
        db.push(&app).await;
        let claim = db.claim().await.unwrap();
        let failed = db.build(&claim).await;
        assert!(
            removable(&db, 0).await.is_empty(),
            "one is live, of the other the deployment is open"
        );
        let failure = Failure::new(FailureCode::Exited, "it ended", "look");
        db.store
            .finish_deployment(claim.deployment.id, 1, Outcome::Failed(failure))
            .await
            .unwrap();
        let second = db.deployed(&app).await;
        let third = db.deployed(&app).await;

        assert_eq!(removable(&db, 3).await, [failed.image]);
        assert_eq!(removable(&db, 2).await, [first.image, failed.image]);
        let instance = NewInstance {
            id: InstanceId::generate(),
            app: app.id,
            release: second.id,
            process: ProcessType::web(),
            n: 1,
            restart_seq: 0,
        };
        db.start(instance.clone()).await;
        db.store
            .create_rollback(db.team, app.id, Some(first.version), db.by)
            .await
            .unwrap();
        assert_eq!(
            removable(&db, 0).await,
            [failed.image],
            "one is wanted back, one still runs, one is live"
        );
        let end = InstanceEnd::default();
        db.store
            .set_instance_state(db.keeper, instance.id, InstanceState::Stopped, end)
            .await
            .unwrap();
        assert_eq!(removable(&db, 0).await, [failed.image, second.image]);

        db.store.mark_image_removed(failed.image).await.unwrap();
        assert_eq!(removable(&db, 0).await, [second.image]);
        let left = db.store.images_of(app.id).await.unwrap();
        let left: Vec<_> = left.into_iter().map(|image| image.id).collect();
        assert_eq!(left, [third.image, second.image, first.image]);
    })
    .await;
}

#[tokio::test]
async fn old_instances_are_forgotten_and_recent_crashes_and_live_ones_are_not() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let release = db.deployed(&app).await;
        let ended = async |state, minutes: i32| {
            let new = NewInstance {
                id: InstanceId::generate(),
                app: app.id,
                release: release.id,
                process: ProcessType::web(),
                n: 1,
                restart_seq: 0,
            };
            let id = db.start(new).await.id;
            let end = InstanceEnd::default();
            db.store.set_instance_state(db.keeper, id, state, end).await.unwrap();
            sqlx::query("update instances set finished_at = finished_at - make_interval(mins => $2) where id = $1")
                .bind(id.uuid())
                .bind(minutes)
                .execute(&db.raw)
                .await
                .unwrap();
            id
        };
        let kept = [
            ended(InstanceState::Healthy, 1000).await,
            ended(InstanceState::Stopped, 0).await,
            ended(InstanceState::Crashed, 170).await,
        ];
        ended(InstanceState::Stopped, 10).await;
        ended(InstanceState::Crashed, 190).await;
        assert_eq!(
            db.store.sweep_instances(Duration::from_secs(4 * 3600)).await.unwrap(),
            0
        );
        assert_eq!(db.store.sweep_instances(Duration::from_secs(60)).await.unwrap(), 2);
        let left: Vec<uuid::Uuid> = sqlx::query_scalar("select id from instances order by id")
            .fetch_all(&db.raw)
            .await
            .unwrap();
        assert_eq!(left, kept.map(InstanceId::uuid));
    })
    .await;
}

#[tokio::test]
async fn logs_of_old_deployments_are_forgotten_app_by_app_and_open_ones_are_not() {
    with_db(|db| async move {
        let (shop, blog) = (db.app("shop").await, db.app("blog").await);
        let mut ids = Vec::new();
        for app in [&shop, &shop, &shop, &blog] {
            ids.push(db.push(app).await.id);
            let claim = db.claim().await.unwrap();
            let lines = ["one", "two"].map(|text| (LogSource::Build, text.to_owned()));
            db.store
                .append_deployment_log(claim.deployment.id, &lines)
                .await
                .unwrap();
            db.store
                .finish_deployment(claim.deployment.id, 1, Outcome::Cancelled)
                .await
                .unwrap();
        }
        let left = async || {
            let mut left = Vec::new();
            for id in &ids {
                left.push(db.store.deployment_log(db.team, *id, 0, 10).await.unwrap().len());
            }
            left
        };
        assert_eq!(db.store.sweep_deployment_logs(3).await.unwrap(), 0);
        assert_eq!(db.store.sweep_deployment_logs(2).await.unwrap(), 2);
        assert_eq!(left().await, [0, 2, 2, 2]);
        sqlx::query("update deployments set status = 'running' where id = $1")
            .bind(ids[1].uuid())
            .execute(&db.raw)
            .await
            .unwrap();
        assert_eq!(db.store.sweep_deployment_logs(1).await.unwrap(), 0);
        assert_eq!(db.store.sweep_deployment_logs(0).await.unwrap(), 4);
        assert_eq!(left().await, [0, 2, 0, 0]);
    })
    .await;
}

/// A release with other config vars over the image of the live one.
async fn reconfigured(db: &Db, app: &AppRow, live: &ReleaseRow) -> ReleaseRow {
    db.ask(app, DeploymentKind::Config).await;
    let claim = db.claim().await.unwrap();
    let new = NewRelease {
        image: live.image,
        config_version: live.config_version,
        processes: live.processes.clone(),
        settings: live.settings.clone(),
        description: "Set config vars".to_owned(),
    };
    let release = db.store.record_release(claim.deployment.id, claim.attempt, new).await;
    let release = release.unwrap().unwrap();
    db.go_live(&claim, &release).await;
    release
}

#[tokio::test]
async fn config_changes_push_no_image_out() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let first = db.deployed(&app).await;
        let second = db.deployed(&app).await;
        let mut live = db.deployed(&app).await;
        for _ in 0..5 {
            live = reconfigured(&db, &app, &live).await;
        }
        assert!(removable(&db, 3).await.is_empty());
        assert_eq!(removable(&db, 2).await, [first.image]);
        assert_eq!(removable(&db, 1).await, [first.image, second.image]);
    })
    .await;
}

#[tokio::test]
async fn the_same_image_built_again_counts_once() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let first = db.deployed(&app).await;
        let second = db.deployed(&app).await;
        let third = db.deployed(&app).await;
        sqlx::query("update images set digest = 'sha256:same' where id in ($1, $2)")
            .bind(second.image.uuid())
            .bind(third.image.uuid())
            .execute(&db.raw)
            .await
            .unwrap();
        assert!(removable(&db, 2).await.is_empty());
        assert_eq!(removable(&db, 1).await, [first.image]);
    })
    .await;
}

#[tokio::test]
async fn an_image_is_claimed_for_removal_only_while_nobody_needs_it() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let first = db.deployed(&app).await;
        db.deployed(&app).await;
        assert!(
            !db.store.claim_image_removal(first.image, 2).await.unwrap(),
            "it is kept"
        );
        assert!(db.store.claim_image_removal(first.image, 1).await.unwrap());
        assert!(!db.store.claim_image_removal(first.image, 1).await.unwrap(), "once");
        assert!(removable(&db, 1).await.is_empty());
        db.store.unmark_image_removed(first.image).await.unwrap();
        assert_eq!(removable(&db, 1).await, [first.image], "Docker would not give it up");
        let rollback = db
            .store
            .create_rollback(db.team, app.id, Some(first.version), db.by)
            .await;
        let rollback = rollback.unwrap();
        assert!(
            !db.store.claim_image_removal(first.image, 1).await.unwrap(),
            "it is wanted back"
        );
        assert_eq!(db.store.open_deployments(app.id).await.unwrap(), [rollback.id]);
        assert!(!db.store.claim_image_removal(ImageId::generate(), 1).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_rollback_and_a_removal_at_the_same_moment_do_not_both_win() {
    with_db(|db| async move {
        let (mut kept, mut removed) = (0, 0);
        for n in 0..40 {
            let app = db.app(&format!("shop-{n}")).await;
            let first = db.deployed(&app).await;
            db.deployed(&app).await;
            let (rollback, claimed) = tokio::join!(
                db.store.create_rollback(db.team, app.id, Some(first.version), db.by),
                db.store.claim_image_removal(first.image, 1)
            );
            let available = db.store.release(db.team, app.id, first.version).await.unwrap().unwrap();
            assert_eq!(claimed.unwrap(), !available.image_available);
            if rollback.is_ok() {
                let claim = db.claim().await.unwrap();
                let ended = db
                    .store
                    .finish_deployment(claim.deployment.id, 1, Outcome::Cancelled)
                    .await;
                assert!(ended.unwrap());
            }
            match rollback {
                // A rollback that was asked for after the mark knows that the image is gone; one before it keeps the image.
                Ok(_) if available.image_available => kept += 1,
                Ok(_) | Err(RollbackError::ImageGone(_)) => removed += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        println!("kept {kept}, removed {removed}");
        assert_eq!(kept + removed, 40);
    })
    .await;
}

#[tokio::test]
async fn the_source_of_a_deployment_is_kept_while_it_is_open_or_a_release_may_be_built_from_it_again() {
    with_db(|db| async move {
        let (app, other) = (db.app("shop").await, db.app("blog").await);
        let built = db.deployed(&app).await;
        let reconfigured = reconfigured(&db, &app, &built).await;
        db.store.mark_image_removed(built.image).await.unwrap();
        let cancelled = db.push(&app).await.id;
        let claim = db.claim().await.unwrap();
        db.store
            .finish_deployment(claim.deployment.id, claim.attempt, Outcome::Cancelled)
            .await
            .unwrap();
        let open = db.push(&app).await.id;
        let unknown = DeploymentId::generate();

        let all = [built.deployment, reconfigured.deployment, cancelled, open, unknown];
        let forgettable = db.store.forgettable_deployments(app.id, &all).await.unwrap();
        assert_eq!(
            forgettable,
            [reconfigured.deployment, cancelled],
            "neither built what a release has"
        );
        let forgettable = db.store.forgettable_deployments(other.id, &all).await.unwrap();
        assert!(forgettable.is_empty(), "they are another app's");
    })
    .await;
}

#[tokio::test]
async fn logs_are_bounded_by_bytes_app_by_app() {
    with_db(|db| async move {
        let (shop, blog) = (db.app("shop").await, db.app("blog").await);
        let mut ids = Vec::new();
        for app in [&shop, &shop, &shop, &blog] {
            ids.push(db.push(app).await.id);
            let claim = db.claim().await.unwrap();
            let lines = ["x".repeat(600), "y".repeat(400)].map(|text| (LogSource::Build, text));
            let id = claim.deployment.id;
            db.store.append_deployment_log(id, &lines).await.unwrap();
            db.store.finish_deployment(id, 1, Outcome::Cancelled).await.unwrap();
        }
        assert_eq!(db.store.bound_deployment_logs(3000).await.unwrap(), 0);
        assert_eq!(db.store.bound_deployment_logs(2500).await.unwrap(), 2);
        let mut left = Vec::new();
        for id in &ids {
            left.push(db.store.deployment_log(db.team, *id, 0, 10).await.unwrap().len());
        }
        assert_eq!(left, [0, 2, 2, 2]);

        for app in [&shop, &blog] {
            sqlx::query(
                "insert into run_log (app_id, team_id, at, process, instance, stream, text)
                 select id, team_id, now(), 'web', 'web.1', 'stdout', repeat('z', 100) from apps, generate_series(1, 10)
                 where id = $1",
            )
            .bind(app.id.uuid())
            .execute(&db.raw)
            .await
            .unwrap();
        }
        assert_eq!(db.store.bound_run_logs(1000).await.unwrap(), 0);
        assert_eq!(db.store.bound_run_logs(450).await.unwrap(), 12);
        let tail = db.store.run_log_tail(db.team, shop.id, None, 100).await.unwrap();
        assert_eq!(tail.len(), 4);
    })
    .await;
}

#[tokio::test]
async fn an_app_is_unknown_when_no_row_is_left_of_it() {
    with_db(|db| async move {
        let (shop, blog) = (db.app("shop").await, db.app("blog").await);
        let stranger = AppId::generate();
        db.store.delete_app(db.team, blog.id).await.unwrap();
        let unknown = db.store.unknown_apps(&[shop.id, stranger, blog.id]).await.unwrap();
        assert_eq!(unknown, [stranger], "one that is being deleted has its row still");
        assert!(db.store.unknown_apps(&[]).await.unwrap().is_empty());
    })
    .await;
}
