//! What may take long: the client's time-out is for a Docker that does not answer, not for containers that take their time.

use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use futures::StreamExt;
use windlass_domain::release::ProcessCommand;
use windlass_runtime::{EventKind, Runtime, RuntimeError};
use windlass_runtime_docker::DockerRuntime;

use crate::{
    hardening::{app, output},
    harness::DockerHarness,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_container_is_followed_and_waited_for_longer_than_the_time_out() {
    let harness = DockerHarness::new(6).await;
    let docker = harness.docker().clone().with_timeout(Duration::from_secs(1));
    let hasty = DockerRuntime::new(docker, harness.runtime.engine_id());
    let mut spec = app(&harness).await;
    spec.command = Some(ProcessCommand::Shell("sleep 3; echo late; exit 7".to_owned()));
    let mut events = hasty.events().await.unwrap();
    let started = harness.runtime.start(&spec).await.unwrap();
    let died = async {
        loop {
            let event = events.next().await.unwrap().unwrap();
            if matches!(event.kind, EventKind::Died { .. }) {
                return event.kind;
            }
        }
    };
    let (said, exit, died) = tokio::join!(output(&hasty, &started), hasty.wait(&started.container), died);
    assert_eq!(said, ["late"]);
    assert_eq!(exit.unwrap().code, 7);
    assert_eq!(died, EventKind::Died { code: 7 });
    harness.runtime.remove_app(spec.app).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grace_may_be_longer_than_the_time_out() {
    let harness = DockerHarness::new(7).await;
    let docker = harness.docker().clone().with_timeout(Duration::from_secs(1));
    let hasty = DockerRuntime::new(docker, harness.runtime.engine_id());
    let mut spec = app(&harness).await;
    let line = "trap 'sleep 2; echo bye; exit 0' TERM; echo ready; while true; do usleep 100000; done";
    spec.command = Some(ProcessCommand::Shell(line.to_owned()));
    let started = harness.runtime.start(&spec).await.unwrap();
    let ready = hasty.logs(
        &started.container,
        windlass_runtime::LogsFrom {
            follow: true,
            ..Default::default()
        },
    );
    assert_eq!(ready.take(1).next().await.unwrap().unwrap().text, "ready");
    hasty.stop(&started.container, Duration::from_secs(20)).await.unwrap();
    assert_eq!(output(&hasty, &started).await, ["ready", "bye"]);
    assert_eq!(hasty.wait(&started.container).await.unwrap().code, 0);
    harness.runtime.remove_app(spec.app).await.unwrap();
}

#[tokio::test]
async fn nobody_is_subscribed_to_a_docker_that_is_away() {
    let harness = DockerHarness::new(5).await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let gone = Docker::connect_with_unix(socket.to_str().unwrap(), 5, API_DEFAULT_VERSION).unwrap();
    let gone = DockerRuntime::new(gone, harness.runtime.engine_id());
    assert!(matches!(gone.events().await, Err(RuntimeError::Unreachable(_))));
}
