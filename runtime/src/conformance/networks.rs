use windlass_domain::AppId;

use super::{Act, Stage};
use crate::{NetworkError, NetworkSpec};

pub(super) async fn a_network_is_made_once(stage: &Stage<'_>) {
    stage.ensure_network().await;
    stage.ensure_network().await;
    let foreign = NetworkSpec {
        app: AppId::generate(),
        subnet: stage.harness.free_subnet(),
        ..stage.network.clone()
    };
    let error = stage.runtime().ensure_network(&foreign).await.expect_err("it is taken");
    assert!(matches!(error, NetworkError::NameTaken(_)), "{error}");
}

pub(super) async fn an_overlapping_subnet_is_refused(stage: &Stage<'_>) {
    stage.ensure_network().await;
    let mut other = Stage::new(stage.harness, stage.case);
    other.network.subnet = stage.network.subnet;
    let error = stage
        .runtime()
        .ensure_network(&other.network)
        .await
        .expect_err("it overlaps");
    assert!(
        matches!(error, NetworkError::Overlap(subnet) if subnet == stage.network.subnet),
        "{error}"
    );
    other.network.subnet = stage.harness.free_subnet();
    other.ensure_network().await;
    other.clear().await;
}

pub(super) async fn a_network_with_instances_can_be_removed(stage: &Stage<'_>) {
    let (_, started) = stage.start(&Act::Sleep).await;
    stage.runtime().remove_network(stage.app).await.expect("it is removed");
    let seen = stage.observe().await;
    assert_eq!(seen.len(), 1, "removing a network removed its containers");
    assert_eq!(seen[0].container, started.container);
}

pub(super) async fn whoever_has_a_network_or_an_image_has_something_here(stage: &Stage<'_>) {
    let is_here = async || {
        let apps = stage.runtime().apps().await.expect("apps are listed");
        assert!(apps.is_sorted(), "{apps:?}");
        apps.contains(&stage.app)
    };
    assert!(!is_here().await, "nothing was made yet");
    stage.ensure_network().await;
    assert!(is_here().await, "it has a network");
    let network = stage.runtime().remove_network(stage.app).await;
    network.expect("the network is removed");
    assert!(!is_here().await, "its network is gone");
    stage.harness.make_app_image(stage.app).await;
    assert!(is_here().await, "it has an image");
    stage.runtime().remove_app(stage.app).await.expect("the app is removed");
    assert!(!is_here().await, "all of it is gone");
    stage.start(&Act::Sleep).await;
    assert!(is_here().await, "it has a container");
}
