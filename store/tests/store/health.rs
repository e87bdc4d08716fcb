//! Which instances go on being checked, and how.

use std::net::SocketAddr;

use windlass_domain::{HealthCheck, InstanceId, InstanceState};
use windlass_store::{InstanceEnd, NewInstance, ReleaseRow};

use crate::support::{Db, with_db};

fn address(n: u32) -> SocketAddr {
    SocketAddr::from(([10, 1, 2, 3], 8000 + u16::try_from(n).unwrap()))
}

async fn start(db: &Db, release: &ReleaseRow, process: &str, n: u32) -> InstanceId {
    let new = NewInstance {
        id: InstanceId::generate(),
        app: release.app,
        release: release.id,
        process: process.parse().unwrap(),
        n,
        restart_seq: 0,
    };
    db.start(new).await.id
}

async fn healthy(db: &Db, release: &ReleaseRow, process: &str, n: u32) -> InstanceId {
    let id = start(db, release, process, n).await;
    db.store
        .set_instance_container(id, "abc", Some(address(n)))
        .await
        .unwrap();
    let end = InstanceEnd::default();
    assert!(
        db.store
            .set_instance_state(db.keeper, id, InstanceState::Healthy, end)
            .await
            .unwrap()
    );
    id
}

async fn checked(db: &Db) -> Vec<(InstanceId, SocketAddr, HealthCheck)> {
    let mut found = db.store.checked_instances().await.unwrap();
    found.sort_by_key(|one| one.id);
    found.into_iter().map(|one| (one.id, one.address, one.check)).collect()
}

#[tokio::test]
async fn each_healthy_instance_is_checked_the_way_of_its_process_type() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.raw_do(
            r#"update apps set settings = settings || '{"process_health": {"worker": {"port": 9000, "retries": 7}}}'"#,
        )
        .await;
        let release = db.deployed(&app).await;
        let web = healthy(&db, &release, "web", 1).await;
        let worker = healthy(&db, &release, "worker", 2).await;
        healthy(&db, &release, "clock", 3).await;
        start(&db, &release, "web", 4).await;

        let as_set = HealthCheck {
            port: Some(9000),
            retries: 7,
            ..HealthCheck::default()
        };
        let wanted = [(web, address(1), HealthCheck::default()), (worker, address(2), as_set)];
        assert_eq!(
            checked(&db).await,
            wanted,
            "not one without a check, not one that is yet to become healthy"
        );

        let end = InstanceEnd::default();
        db.store
            .set_instance_state(db.keeper, web, InstanceState::Draining, end)
            .await
            .unwrap();
        assert_eq!(checked(&db).await.len(), 1, "what goes need not be well");
        db.store.delete_app(db.team, app.id).await.unwrap();
        assert_eq!(checked(&db).await, []);
    })
    .await;
}

#[tokio::test]
async fn an_interval_of_zero_means_never_again() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.raw_do("update apps set settings = jsonb_set(settings, '{health,interval_seconds}', '0')")
            .await;
        let release = db.deployed(&app).await;
        healthy(&db, &release, "web", 1).await;
        assert_eq!(checked(&db).await, []);
    })
    .await;
}
