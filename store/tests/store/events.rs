use std::time::Duration;

use tokio::{sync::oneshot, time::timeout};
use windlass_store::{Event, StoreError};

use crate::support::{expect_event, with_db};

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_wakes_a_receiver_and_a_lost_connection_makes_it_look_at_everything() {
    with_db(|db| async move {
        let mut events = db.store.events();
        let (stop, stopped) = oneshot::channel::<()>();
        let store = db.store.clone();
        let listening = tokio::spawn(async move {
            store.listen(async { stopped.await.unwrap_or(()) }).await;
        });
        expect_event(&mut events, Event::Resync).await;
        let app = db.app("shop").await;
        expect_event(&mut events, Event::App(app.id)).await;
        let deployment = db.push(&app).await.id;
        expect_event(&mut events, Event::Deployment { app: app.id, deployment }).await;
        db.store.append_deployment_log(deployment, &[]).await.unwrap();
        expect_event(&mut events, Event::DeploymentLog(deployment)).await;

        sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query ilike 'listen%'")
            .execute(&db.raw)
            .await
            .unwrap();
        expect_event(&mut events, Event::Resync).await;
        let app = db.app("shop2").await;
        expect_event(&mut events, Event::App(app.id)).await;

        stop.send(()).unwrap();
        timeout(Duration::from_secs(5), listening).await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_postgres_cut_are_replaced_without_an_error() {
    with_db(|db| async move {
        for _ in 0..3 {
            db.store.ping().await.unwrap();
            sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
                .execute(&db.raw)
                .await
                .unwrap();
            db.store.ping().await.unwrap();
        }
        db.store.close().await;
        assert!(matches!(db.store.ping().await, Err(StoreError::Unavailable(_))));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_may_migrate_at_once() {
    with_db(|db| async move {
        let all: Vec<_> = (0..4)
            .map(|_| {
                let store = db.store.clone();
                tokio::spawn(async move { store.migrate().await })
            })
            .collect();
        for one in all {
            one.await.unwrap().unwrap();
        }
    })
    .await;
}
