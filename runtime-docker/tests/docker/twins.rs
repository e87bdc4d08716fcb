//! Two networks of one name: Docker before 25 makes them when it is asked for both before the first is there.

use std::collections::HashMap;

use bollard::{
    models::{Ipam, IpamConfig, NetworkCreateRequest},
    query_parameters::ListNetworksOptionsBuilder,
};
use windlass_domain::{InstanceId, labels, release::ProcessCommand};
use windlass_runtime::{InstanceSpec, NetworkSpec, Runtime, Scope, conformance::Harness};

use crate::{hardening::app, harness::DockerHarness};

/// Makes a second network as an engine does that is killed while it asks; gives what it asked for. None where Docker refuses.
async fn twin(harness: &DockerHarness, spec: &InstanceSpec) -> Option<NetworkSpec> {
    let twin = NetworkSpec {
        app: spec.app,
        app_name: spec.name.app.clone(),
        name: spec.network.clone(),
        subnet: harness.free_subnet(),
    };
    let own = [
        (labels::MANAGED, "true".to_owned()),
        (labels::ENGINE, harness.runtime.engine_id().to_owned()),
        (labels::APP_ID, spec.app.to_string()),
        (labels::APP, spec.name.app.to_string()),
    ];
    let config = IpamConfig {
        subnet: Some(twin.subnet.trunc().to_string()),
        ..Default::default()
    };
    let request = NetworkCreateRequest {
        name: twin.name.clone(),
        ipam: Some(Ipam {
            config: Some(vec![config]),
            ..Default::default()
        }),
        labels: Some(own.map(|(key, value)| (key.to_owned(), value)).into()),
        ..Default::default()
    };
    harness.docker().create_network(request).await.ok().map(|_| twin)
}

/// The subnets of all networks of the app.
async fn subnets(harness: &DockerHarness, spec: &InstanceSpec) -> Vec<String> {
    let of_app = HashMap::from([("label", vec![format!("{}={}", labels::APP_ID, spec.app)])]);
    let options = ListNetworksOptionsBuilder::new().filters(&of_app).build();
    let found = harness.docker().list_networks(Some(options)).await.unwrap();
    let configs = found.into_iter().filter_map(|network| network.ipam?.config).flatten();
    configs.filter_map(|config| config.subnet).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_networks_of_one_name_the_one_in_use_is_kept() {
    let harness = DockerHarness::new(10).await;
    let mut spec = app(&harness).await;
    spec.command = Some(ProcessCommand::Shell("exec sleep 60".to_owned()));
    harness.runtime.start(&spec).await.unwrap();
    let in_use = subnets(&harness, &spec).await;
    if let Some(twin) = twin(&harness, &spec).await {
        let mut other = spec.clone();
        other.instance = InstanceId::generate();
        other.name.n = 2;
        let error = harness.runtime.start(&other).await.unwrap_err();
        assert!(error.to_string().contains("ambiguous"), "{error}");
        harness.runtime.ensure_network(&twin).await.unwrap();
        harness.runtime.start(&other).await.unwrap();
        assert_eq!(subnets(&harness, &spec).await, in_use);
        let seen = harness.runtime.observe(Scope::App(spec.app)).await.unwrap();
        assert_eq!(seen.iter().filter(|one| one.state.is_running()).count(), 2);
    }
    harness.runtime.remove_app(spec.app).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_unused_networks_of_one_name_the_one_that_is_asked_for_is_kept() {
    let harness = DockerHarness::new(11).await;
    let spec = app(&harness).await;
    if let Some(twin) = twin(&harness, &spec).await {
        for _ in 0..2 {
            harness.runtime.ensure_network(&twin).await.unwrap();
            assert_eq!(subnets(&harness, &spec).await, [twin.subnet.trunc().to_string()]);
        }
    }
    harness.runtime.remove_app(spec.app).await.unwrap();
}
