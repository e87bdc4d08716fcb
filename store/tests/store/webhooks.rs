use std::time::Duration;

use windlass_domain::DeploymentId;
use windlass_store::{Delivered, Delivery, DeliveryRecord, Page, Trigger};

use crate::support::{new_deployment, push, with_db};

fn delivery(id: &str) -> Delivery {
    Delivery {
        forge: "github".to_owned(),
        id: id.to_owned(),
        event: "push".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_comes_eight_times_at_once_deploys_once() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let targets = db.store.webhook_targets("forge.example/shop/code").await.unwrap();
        let target = targets.into_iter().next().unwrap();
        assert_eq!(
            (target.app, target.team, target.branch.as_str()),
            (app.id, db.team, "main")
        );
        assert_eq!(target.secret.expose(), "the webhook secret");
        let deliveries: Vec<_> = (0..8)
            .map(|_| {
                let (store, target) = (db.store.clone(), target.clone());
                let mut new = new_deployment(push());
                new.trigger = Trigger::Webhook;
                tokio::spawn(async move { store.deliver_push(&target, &delivery("1"), new).await.unwrap() })
            })
            .collect();
        let mut deployed = Vec::new();
        for delivered in deliveries {
            match delivered.await.unwrap() {
                Delivered::Deployed(row) => deployed.push(row.id),
                Delivered::Duplicate => {}
                Delivered::AppGone => panic!("the app is there"),
            }
        }
        let listed = db
            .store
            .list_deployments(db.team, app.id, Page::default())
            .await
            .unwrap()
            .items;
        let listed: Vec<DeploymentId> = listed.iter().map(|row| row.id).collect();
        assert_eq!((deployed.len(), listed), (1, deployed));
        let next = db
            .store
            .deliver_push(&target, &delivery("2"), new_deployment(push()))
            .await
            .unwrap();
        assert!(matches!(next, Delivered::Deployed(_)));

        db.store.delete_app(db.team, app.id).await.unwrap();
        let late = db
            .store
            .deliver_push(&target, &delivery("3"), new_deployment(push()))
            .await
            .unwrap();
        assert_eq!(late, Delivered::AppGone);
        assert!(
            db.store
                .webhook_targets("forge.example/shop/code")
                .await
                .unwrap()
                .is_empty()
        );
    })
    .await;
}

#[tokio::test]
async fn a_delivery_of_no_interest_is_remembered_too_for_a_while() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let record = DeliveryRecord {
            delivery: delivery("1"),
            app: app.id,
            team: db.team,
            verdict: "other_branch".to_owned(),
            deployment: None,
        };
        assert!(db.store.record_delivery(&record).await.unwrap());
        assert!(!db.store.record_delivery(&record).await.unwrap());
        assert_eq!(db.store.forget_deliveries(Duration::from_secs(3600)).await.unwrap(), 0);
        assert_eq!(db.store.forget_deliveries(Duration::ZERO).await.unwrap(), 1);
        assert!(db.store.record_delivery(&record).await.unwrap());
    })
    .await;
}
