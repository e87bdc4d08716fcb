use std::time::Duration;

use tokio::{sync::oneshot, time::timeout};
use windlass_domain::{InstanceId, InstanceState, ProcessType};
use windlass_store::{Event, InstanceEnd, NewInstance, StoreError};

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

        // What is on the way to being routed tells of itself, and nothing else comes in between.
        let claim = db.claim().await.unwrap();
        let release = db.build(&claim).await;
        let candidate = db.store.set_candidate(deployment, claim.attempt, release.id);
        assert!(candidate.await.unwrap());
        let web = NewInstance {
            id: InstanceId::generate(),
            app: app.id,
            release: release.id,
            process: ProcessType::web(),
            n: 1,
            restart_seq: 0,
        };
        let row = db.start(web).await;
        db.store.append_deployment_log(deployment, &[]).await.unwrap();
        expect_event(&mut events, Event::DeploymentLog(deployment)).await;
        let (healthy, end) = (InstanceState::Healthy, InstanceEnd::default());
        let moved = db.store.set_instance_state(db.keeper, row.id, healthy, end);
        assert!(moved.await.unwrap());
        assert!(db.store.promote(db.keeper, app.id, release.id).await.unwrap());
        for wanted in [
            Event::App(app.id),
            Event::App(app.id),
            Event::Deployment { app: app.id, deployment },
        ] {
            let event = timeout(Duration::from_secs(5), events.recv()).await;
            assert_eq!(event.unwrap().unwrap(), wanted);
        }

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
