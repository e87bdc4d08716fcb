use windlass_domain::{Failure, FailureCode, ImageId, InstanceId, InstanceState, ProcessType};
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
        db.store.insert_instance(instance.clone()).await.unwrap();
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
