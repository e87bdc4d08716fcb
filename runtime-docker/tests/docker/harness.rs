//! The suite's way to a real Docker. Whatever a test makes carries a label that is unique to it, and goes when the harness is
//! dropped, also when the test panics.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use bollard::{
    Docker,
    models::ContainerCreateBody,
    query_parameters::{
        CreateContainerOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
        ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
    },
};
use ipnet::Ipv4Net;
use windlass_domain::{AppId, DeploymentId, labels, release::ProcessCommand};
use windlass_runtime::{
    ContainerId, InstanceSpec, Runtime,
    conformance::{Act, Harness},
};
use windlass_runtime_docker::{DockerRuntime, connect};

use crate::base;

/// On what is not Windlass's but the test's own.
const TEST_LABEL: &str = "windlass-test";

pub struct DockerHarness {
    pub runtime: DockerRuntime,
    id: String,
    base: String,
    /// Which sixteenth of 10.213.0.0/16 it takes its subnets from: tests run at the same time.
    share: u32,
    subnets: AtomicU32,
}

impl DockerHarness {
    pub async fn new(share: u32) -> Self {
        let docker = connect(None).await.unwrap();
        let id = format!("test-{}", uuid::Uuid::new_v4().simple());
        let harness = Self {
            base: format!("windlass-test:{id}"),
            runtime: DockerRuntime::new(docker, id.clone()),
            id,
            share,
            subnets: AtomicU32::new(0),
        };
        let labels = [(TEST_LABEL.to_owned(), harness.id.clone())];
        base::import(harness.docker(), &harness.base, &labels).await;
        harness
    }

    pub fn docker(&self) -> &Docker {
        self.runtime.docker()
    }
}

impl Drop for DockerHarness {
    fn drop(&mut self) {
        let id = self.id.clone();
        // The runtime of the test may be unwinding: clean up on another one, with a connection of its own.
        let cleaned = std::thread::spawn(move || {
            tokio::runtime::Runtime::new()
                .unwrap()
                .block_on(async { clean(&connect(None).await.unwrap(), &id).await });
        })
        .join();
        assert!(
            cleaned.is_ok() || std::thread::panicking(),
            "the test left something in Docker"
        );
    }
}

async fn clean(docker: &Docker, id: &str) {
    for label in [format!("{TEST_LABEL}={id}"), format!("{}={id}", labels::ENGINE)] {
        let filters = HashMap::from([("label", vec![label.as_str()])]);
        let containers = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        for container in docker.list_containers(Some(containers)).await.unwrap() {
            let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            docker
                .remove_container(&container.id.unwrap(), Some(force))
                .await
                .unwrap();
        }
        let networks = ListNetworksOptionsBuilder::new().filters(&filters).build();
        for network in docker.list_networks(Some(networks)).await.unwrap() {
            docker.remove_network(&network.id.unwrap()).await.unwrap();
        }
        let images = ListImagesOptionsBuilder::new().filters(&filters).build();
        for image in docker.list_images(Some(images)).await.unwrap() {
            let force = RemoveImageOptionsBuilder::new().force(true).build();
            docker.remove_image(&image.id, Some(force), None).await.unwrap();
        }
    }
}

fn line(act: &Act) -> String {
    match act {
        Act::Sleep => "sleep 1000".to_owned(),
        Act::IgnoreSigterm => "trap '' TERM; echo deaf; while true; do sleep 1; done".to_owned(),
        Act::Exit(code) => format!("exit {code}"),
        Act::Serve(port) => format!("exec httpd -f -h /www -p 0.0.0.0:{port}"),
        Act::ServeLoopback(port) => format!("exec httpd -f -h /www -p 127.0.0.1:{port}"),
        Act::Speak => "echo out 1; echo err 1 >&2; echo out 2".to_owned(),
        Act::Count(to) => format!("for n in $(seq {to}); do echo $n; usleep 10000; done"),
        Act::Chatter(to) => format!("seq {to}; printf '%040000d' 0 | sed s/0/x/g; echo"),
        Act::TakeMemory => "tail /dev/zero".to_owned(),
    }
}

#[async_trait]
impl Harness for DockerHarness {
    fn runtime(&self) -> &dyn Runtime {
        &self.runtime
    }

    fn free_subnet(&self) -> Ipv4Net {
        let n = self.subnets.fetch_add(1, Ordering::Relaxed);
        assert!(n < 256, "more subnets than a share of 10.213.0.0/16 has");
        let first = u32::from(std::net::Ipv4Addr::new(10, 213, 0, 0));
        let address = first + (self.share << 12) + (n << 4);
        Ipv4Net::new(address.into(), 28).unwrap()
    }

    fn image(&self) -> String {
        self.base.clone()
    }

    fn command(&self, act: &Act) -> ProcessCommand {
        ProcessCommand::Shell(line(act))
    }

    async fn make_app_image(&self, app: AppId) -> String {
        let reference = format!("windlass-test:{}", DeploymentId::generate());
        let labels = [
            (labels::MANAGED.to_owned(), "true".to_owned()),
            (labels::ENGINE.to_owned(), self.id.clone()),
            (labels::APP_ID.to_owned(), app.to_string()),
        ];
        base::import(self.docker(), &reference, &labels).await;
        reference
    }

    async fn create_only(&self, spec: &InstanceSpec) {
        // A first container with all the labels gives the body of the second, which is then left as it was made.
        let made = self.runtime.start(spec).await.unwrap();
        let found = self
            .docker()
            .inspect_container(made.container.as_str(), None)
            .await
            .unwrap();
        self.runtime.remove(&made.container).await.unwrap();
        let config = found.config.unwrap();
        let body = ContainerCreateBody {
            image: config.image,
            cmd: config.cmd,
            entrypoint: config.entrypoint,
            labels: config.labels,
            host_config: found.host_config,
            ..Default::default()
        };
        let options = CreateContainerOptionsBuilder::new()
            .name(&spec.name.to_string())
            .build();
        self.docker().create_container(Some(options), body).await.unwrap();
    }

    async fn run_foreign(&self, name: &str) -> ContainerId {
        let body = ContainerCreateBody {
            image: Some(self.base.clone()),
            labels: Some(HashMap::from([(TEST_LABEL.to_owned(), self.id.clone())])),
            ..Default::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let made = self.docker().create_container(Some(options), body).await.unwrap();
        self.docker().start_container(&made.id, None).await.unwrap();
        ContainerId::new(made.id)
    }

    async fn foreign_runs(&self, container: &ContainerId) -> bool {
        let found = self.docker().inspect_container(container.as_str(), None).await.unwrap();
        found.state.unwrap().running.unwrap()
    }
}
