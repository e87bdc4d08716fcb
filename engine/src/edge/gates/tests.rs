//! What becomes of gates when the router is another: over the runtime in memory.

use std::{fs::File, path::Path, time::SystemTime};

use windlass_domain::{AppId, InstanceId, InstanceName, Limits, ProcessType, ReleaseId, ReleaseVersion};
use windlass_runtime::{
    InstanceSpec, NetworkSpec, Role,
    fake::{Behaviour, FakeRuntime},
};

use super::*;

/// A container that was started for a Traefik, with this gate.
async fn start(fake: &FakeRuntime, instance: InstanceId, gate: Gate) {
    let app = AppId::generate();
    fake.add_image("shop:1", None, None, Behaviour::sleeps());
    let network = NetworkSpec {
        app,
        app_name: "shop".parse().unwrap(),
        name: "shop".to_owned(),
        subnet: "10.213.0.0/28".parse().unwrap(),
    };
    fake.ensure_network(&network).await.unwrap();
    let spec = InstanceSpec {
        instance,
        name: InstanceName {
            app: "shop".parse().unwrap(),
            process: ProcessType::web(),
            release: ReleaseVersion(1),
            n: 1,
        },
        role: Role::Instance,
        app,
        release: ReleaseId::generate(),
        deployment: None,
        image: "shop:1".to_owned(),
        command: None,
        env: std::collections::BTreeMap::new(),
        port: Some(8080),
        restart_seq: 0,
        limits: Limits::default(),
        network: "shop".to_owned(),
        extra_labels: std::collections::BTreeMap::new(),
        gate: Some(gate),
        stop_grace: Duration::from_secs(1),
    };
    fake.start(&spec).await.unwrap();
}

fn grow_old(root: &Path, gate: &str) {
    let state = File::open(root.join(gate).join("state")).unwrap();
    state.set_modified(SystemTime::now() - ORPHANED * 2).unwrap();
}

#[tokio::test]
async fn with_another_router_gates_go_with_their_containers_and_all_the_rest_with_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let (root, fake) = (folder.path().join("gates"), FakeRuntime::new());
    let gates = Gates::at(&root).unwrap();
    gates.make("gone").unwrap();
    grow_old(&root, "gone");
    let instance = InstanceId::generate();
    let made = gates.make(&instance.to_string()).unwrap();
    start(&fake, instance, super::super::traefik::gate(made)).await;
    let instance = instance.to_string();
    grow_old(&root, &instance);

    assert_eq!(clear_away_once(root.clone(), &fake).await.unwrap(), 1);
    assert_eq!(gates.names().unwrap(), [instance], "Docker runs its program");

    let seen = fake.observe(Scope::All).await.unwrap();
    fake.remove(&seen[0].container).await.unwrap();
    assert_eq!(clear_away_once(root.clone(), &fake).await.unwrap(), 0);
    assert!(!root.exists());
    assert_eq!(
        clear_away_once(root.clone(), &fake).await.unwrap(),
        0,
        "there is nothing left to do"
    );
    assert!(!root.exists());
}

#[tokio::test]
async fn a_gate_whose_container_may_be_about_to_be_made_stays() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("gates");
    let gates = Gates::at(&root).unwrap();
    gates.make("young").unwrap();
    gates.make("later").unwrap();
    let state = File::open(root.join("later/state")).unwrap();
    state.set_modified(SystemTime::now() + ORPHANED).unwrap();
    // So begins the making of one.
    std::fs::create_dir(root.join("begun")).unwrap();
    assert_eq!(clear_away_once(root.clone(), &FakeRuntime::new()).await.unwrap(), 3);
    for name in ["young", "later", "begun"] {
        assert!(root.join(name).exists(), "{name}");
    }
}
