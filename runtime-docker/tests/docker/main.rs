//! The driver against a real Docker. Needs a running Docker at the default socket and `/bin/busybox` (package
//! `busybox-static`), from which the base image is made; nothing is pulled.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that cannot go on should stop, and is documented by its name"
)]

mod base;
mod gate;
mod hardening;
mod harness;
mod patience;
mod twins;

use windlass_runtime::{Runtime, conformance};

use crate::harness::DockerHarness;

#[tokio::test(flavor = "multi_thread")]
async fn docker_behaves_as_a_runtime_must() {
    let harness = DockerHarness::new(0).await;
    conformance::run(&harness).await;
}

#[tokio::test]
async fn docker_describes_itself() {
    let docker = windlass_runtime_docker::connect(None).await.unwrap();
    let runtime = windlass_runtime_docker::DockerRuntime::new(docker, "test-info");
    let info = runtime.info().await.unwrap();
    assert_eq!(info.name, "docker");
    assert!(info.version.starts_with(|c: char| c.is_ascii_digit()), "{info:?}");
    let (major, minor) = info.api_version.split_once('.').unwrap();
    assert!(
        (major.parse::<u32>().unwrap(), minor.parse::<u32>().unwrap()) >= (1, 41),
        "{info:?}"
    );
    assert!(matches!(info.cgroup_version, Some(1 | 2)), "{info:?}");
    assert!(info.cpus > 0 && info.memory_bytes > 0, "{info:?}");
}
