use std::time::Duration;

use windlass_domain::{Failure, FailureCode, ImageId, InstanceId, InstanceState, LogSource, ProcessType};
use windlass_store::{InstanceEnd, NewInstance, Outcome};

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
            .set_instance_state(instance.id, InstanceState::Stopped, end)
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
            db.store.set_instance_state(id, state, end).await.unwrap();
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
            ended(InstanceState::Crashed, 10).await,
        ];
        ended(InstanceState::Stopped, 10).await;
        ended(InstanceState::Crashed, 20).await;
        assert_eq!(db.store.sweep_instances(Duration::from_secs(3600)).await.unwrap(), 0);
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
