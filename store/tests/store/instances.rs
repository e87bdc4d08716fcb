use std::collections::BTreeMap;

use windlass_domain::{InstanceId, InstanceState, ProcessType, Upstream};
use windlass_store::{AppRow, InstanceEnd, InstanceRow, NewInstance, ReleaseRow};

use crate::support::{Db, with_db};

fn new_web(app: &AppRow, release: &ReleaseRow, n: u32) -> NewInstance {
    NewInstance {
        id: InstanceId::generate(),
        app: app.id,
        release: release.id,
        process: ProcessType::web(),
        n,
        restart_seq: 0,
    }
}

async fn start(db: &Db, app: &AppRow, release: &ReleaseRow, n: u32) -> InstanceRow {
    db.start(new_web(app, release, n)).await
}

async fn set(db: &Db, instance: &InstanceRow, state: InstanceState) -> bool {
    let end = InstanceEnd::default();
    db.store
        .set_instance_state(db.keeper, instance.id, state, end)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_instance_moves_through_its_states_and_never_comes_back_from_the_end() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let release = db.deployed(&app).await;
        let instance = start(&db, &app, &release, 1).await;
        assert_eq!(
            (instance.state, instance.version),
            (InstanceState::Starting, release.version)
        );
        assert!(set(&db, &instance, InstanceState::Healthy).await);
        assert!(!set(&db, &instance, InstanceState::Healthy).await, "nothing changes");
        assert!(set(&db, &instance, InstanceState::Unhealthy).await);
        assert!(set(&db, &instance, InstanceState::Draining).await);
        assert!(
            !set(&db, &instance, InstanceState::Healthy).await,
            "what drains can only end"
        );
        let end = InstanceEnd {
            exit_code: Some(137),
            reason: Some("killed".to_owned()),
        };
        assert!(
            db.store
                .set_instance_state(db.keeper, instance.id, InstanceState::Crashed, end)
                .await
                .unwrap()
        );
        for state in InstanceState::ALL {
            assert!(!set(&db, &instance, state).await, "{state:?} after the end");
        }
        let listed = db.store.list_all_instances(db.team, app.id).await.unwrap();
        let row = &listed[0];
        assert_eq!((row.exit_code, row.reason.as_deref()), (Some(137), Some("killed")));
        assert!(row.healthy_at.is_some() && row.draining_at.is_some() && row.finished_at.is_some());
        assert!(db.store.live_instances().await.unwrap().is_empty());
        let work = db.store.app_work(app.id).await.unwrap().unwrap();
        assert_eq!(work.instances.len(), 1, "a recent crash is remembered");
    })
    .await;
}

/// What is listed, as `web.1 crashed`.
async fn listed(db: &Db, app: &AppRow) -> Vec<String> {
    let rows = db.store.list_instances(db.team, app.id).await.unwrap();
    let told = rows
        .iter()
        .map(|row| format!("{}.{} {} {}", row.process, row.n, row.version, row.state.as_str()));
    told.collect()
}

#[tokio::test]
async fn a_crash_is_listed_as_long_as_it_leaves_a_place_empty() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let release = db.deployed(&app).await;
        let scale = BTreeMap::from([(ProcessType::web(), 2)]);
        db.store.scale(db.team, app.id, &scale).await.unwrap();
        let crash = async |n: u32| {
            let instance = start(&db, &app, &release, n).await;
            assert!(set(&db, &instance, InstanceState::Crashed).await);
        };
        start(&db, &app, &release, 1).await;
        for _ in 0..3 {
            crash(2).await;
        }
        assert_eq!(listed(&db, &app).await, ["web.1 v1 starting", "web.2 v1 crashed"]);
        let back = start(&db, &app, &release, 2).await;
        assert_eq!(listed(&db, &app).await, ["web.1 v1 starting", "web.2 v1 starting"]);
        // One more than wanted has crashed: it is missed by nobody.
        crash(3).await;
        assert_eq!(listed(&db, &app).await.len(), 2);

        assert!(set(&db, &back, InstanceState::Stopped).await);
        assert_eq!(listed(&db, &app).await, ["web.1 v1 starting", "web.3 v1 crashed"]);
        let all = db.store.list_all_instances(db.team, app.id).await.unwrap();
        assert_eq!(all.len(), 6);
        db.deployed(&app).await;
        assert_eq!(listed(&db, &app).await, ["web.1 v1 starting"], "of an old release");
    })
    .await;
}

#[tokio::test]
async fn a_restart_that_crashes_is_listed_beside_what_it_should_replace() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let release = db.deployed(&app).await;
        start(&db, &app, &release, 1).await;
        db.store.restart(db.team, app.id, None).await.unwrap();
        let new = NewInstance {
            restart_seq: 1,
            ..new_web(&app, &release, 2)
        };
        let new = db.start(new).await;
        assert!(set(&db, &new, InstanceState::Crashed).await);
        assert_eq!(listed(&db, &app).await, ["web.1 v1 starting", "web.2 v1 crashed"]);
    })
    .await;
}

#[tokio::test]
async fn only_healthy_instances_of_the_live_release_are_routed() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.app("never-deployed").await;
        let old = db.deployed(&app).await;
        let name = app.name.clone();
        assert_eq!(
            db.store.routed_apps().await.unwrap(),
            [(name.clone(), vec![])],
            "nothing healthy is a 503"
        );
        let instance = start(&db, &app, &old, 1).await;
        start(&db, &app, &old, 2).await;
        let address = "10.1.2.3:8080".parse().unwrap();
        db.store
            .set_instance_container(instance.id, "abc", Some(address))
            .await
            .unwrap();
        assert!(set(&db, &instance, InstanceState::Healthy).await);
        let upstream = Upstream {
            instance: instance.id,
            address,
        };
        assert_eq!(db.store.routed_apps().await.unwrap(), [(name.clone(), vec![upstream])]);
        db.deployed(&app).await;
        assert_eq!(db.store.routed_apps().await.unwrap(), [(name, vec![])]);
        let (one, two) = (
            db.store.next_route_generation().await.unwrap(),
            db.store.next_route_generation().await.unwrap(),
        );
        assert!(one < two);
    })
    .await;
}

#[tokio::test]
async fn a_subnet_belongs_to_one_app() {
    with_db(|db| async move {
        let (one, two) = (db.app("one").await.id, db.app("two").await.id);
        let subnet = "10.200.0.0/28".parse().unwrap();
        assert!(db.store.set_subnet(one, subnet).await.unwrap());
        assert!(db.store.set_subnet(one, subnet).await.unwrap());
        assert!(!db.store.set_subnet(two, subnet).await.unwrap());
        assert_eq!(db.store.used_subnets().await.unwrap(), [subnet]);
        assert_eq!(db.store.app_work(one).await.unwrap().unwrap().subnet, Some(subnet));
        db.store.clear_subnet(one).await.unwrap();
        assert!(db.store.set_subnet(two, subnet).await.unwrap());
    })
    .await;
}
