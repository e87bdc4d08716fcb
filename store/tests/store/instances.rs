use windlass_domain::{InstanceId, InstanceState, ProcessType, Upstream};
use windlass_store::{AppRow, InstanceEnd, InstanceRow, NewInstance, ReleaseRow};

use crate::support::{Db, with_db};

async fn start(db: &Db, app: &AppRow, release: &ReleaseRow, n: u32) -> InstanceRow {
    let new = NewInstance {
        id: InstanceId::generate(),
        app: app.id,
        release: release.id,
        process: ProcessType::web(),
        n,
        restart_seq: 0,
    };
    db.start(new).await
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
        let listed = db.store.list_instances(db.team, app.id).await.unwrap();
        let row = &listed[0];
        assert_eq!((row.exit_code, row.reason.as_deref()), (Some(137), Some("killed")));
        assert!(row.healthy_at.is_some() && row.draining_at.is_some() && row.finished_at.is_some());
        assert!(db.store.live_instances().await.unwrap().is_empty());
        let work = db.store.app_work(app.id).await.unwrap().unwrap();
        assert_eq!(work.instances.len(), 1, "a recent crash is remembered");
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
