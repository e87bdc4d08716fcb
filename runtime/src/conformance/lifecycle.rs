use std::time::{Duration, Instant};

use windlass_domain::HealthCheck;

use super::{Act, Stage};
use crate::{ContainerId, ContainerState, Exit, LogsFrom, RuntimeError, probe};

const fn exit(code: i64) -> Exit {
    Exit {
        code,
        oom_killed: false,
    }
}

pub(super) async fn an_instance_starts_serves_and_stops(stage: &Stage<'_>) {
    let (spec, started) = stage.start(&Act::Serve(8123)).await;
    let observed = stage.observe().await;
    assert_eq!(observed.len(), 1, "{observed:?}");
    let seen = &observed[0];
    assert_eq!(seen.state, ContainerState::Running);
    assert_eq!(
        (seen.instance, &seen.name, seen.role, seen.app, seen.release),
        (spec.instance, &spec.name, spec.role, spec.app, spec.release)
    );
    assert_eq!(
        (seen.deployment, seen.restart_seq, seen.port, &seen.image),
        (spec.deployment, spec.restart_seq, spec.port, &spec.image)
    );
    assert_eq!(seen.container, started.container);
    assert_eq!(seen.address, started.address);
    assert!(seen.started_at.is_some() && seen.created_at.is_some(), "{seen:?}");
    let socket = seen.socket().expect("a running instance has an address");
    let check = HealthCheck {
        path: Some("/".to_owned()),
        ..HealthCheck::default()
    };
    stage
        .soon("becoming ready", async {
            while !probe(socket, &check).await.is_ready() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;

    let began = Instant::now();
    let grace = Duration::from_secs(20);
    stage.runtime().stop(&started.container, grace).await.expect("it stops");
    assert!(began.elapsed() < grace / 2, "SIGTERM did not end it");
    let seen = stage.observe().await.remove(0);
    assert!(
        matches!(
            seen.state,
            ContainerState::Exited {
                finished_at: Some(_),
                ..
            }
        ),
        "{seen:?}"
    );
    assert_eq!(seen.address, None);
    stage.runtime().remove(&started.container).await.expect("it is removed");
    assert_eq!(stage.observe().await, []);
}

pub(super) async fn starting_twice_makes_one_container(stage: &Stage<'_>) {
    let (spec, first) = stage.start(&Act::Sleep).await;
    let second = stage.runtime().start(&spec).await.expect("it is adopted");
    assert_eq!(first, second);
    assert_eq!(stage.observe().await.len(), 1);
}

pub(super) async fn a_created_container_is_adopted_and_started(stage: &Stage<'_>) {
    stage.ensure_network().await;
    let spec = stage.spec(1, &Act::Sleep);
    stage.harness.create_only(&spec).await;
    assert_eq!(stage.observe().await[0].state, ContainerState::Created);
    let started = stage.runtime().start(&spec).await.expect("it is adopted");
    assert!(started.address.is_some());
    let observed = stage.observe().await;
    assert_eq!(observed.len(), 1);
    assert_eq!(observed[0].state, ContainerState::Running);
}

pub(super) async fn exit_codes_are_reported(stage: &Stage<'_>) {
    let (spec, started) = stage.start(&Act::Exit(42)).await;
    let ended = stage.soon("waiting", stage.runtime().wait(&started.container)).await;
    assert_eq!(ended.expect("it ends"), exit(42));
    assert_eq!(stage.observe().await[0].state.exit(), Some(exit(42)));
    let again = stage.runtime().wait(&started.container).await;
    assert_eq!(again.expect("it has ended"), exit(42));
    let adopted = stage.runtime().start(&spec).await.expect("it is adopted");
    assert_eq!(adopted.container, started.container);
    assert_eq!(adopted.address, None);
    assert_eq!(
        stage.observe().await[0].state.exit(),
        Some(exit(42)),
        "it was started again"
    );
}

pub(super) async fn want_of_memory_is_reported(stage: &Stage<'_>) {
    let (_, started) = stage.start(&Act::TakeMemory).await;
    let ended = stage.soon("waiting", stage.runtime().wait(&started.container)).await;
    let expected = Exit {
        code: 137,
        oom_killed: true,
    };
    assert_eq!(ended.expect("it ends"), expected);
}

pub(super) async fn a_deaf_container_is_killed_after_the_grace(stage: &Stage<'_>) {
    let (_, started) = stage.start(&Act::IgnoreSigterm).await;
    let container = &started.container;
    // It is deaf once it has said so.
    let ready = LogsFrom {
        follow: true,
        ..LogsFrom::default()
    };
    let mut lines = stage.runtime().logs(container, ready);
    stage.soon("speaking", futures::StreamExt::next(&mut lines)).await;
    drop(lines);
    let grace = Duration::from_secs(1);
    let began = Instant::now();
    let stopped = stage.soon("stopping", stage.runtime().stop(container, grace)).await;
    stopped.expect("it stops");
    assert!(began.elapsed() >= grace, "it got no grace");
    assert_eq!(stage.observe().await[0].state.exit(), Some(exit(137)));
}

pub(super) async fn what_is_gone_is_no_error(stage: &Stage<'_>) {
    let (_, started) = stage.start(&Act::Exit(0)).await;
    let (runtime, container) = (stage.runtime(), &started.container);
    runtime.wait(container).await.expect("it ends");
    runtime.stop(container, Duration::ZERO).await.expect("it has ended");
    runtime.remove(container).await.expect("it is removed");
    runtime.remove(container).await.expect("it is gone");
    runtime.stop(container, Duration::ZERO).await.expect("it is gone");
    assert!(matches!(
        runtime.wait(container).await,
        Err(RuntimeError::NoSuchContainer(_))
    ));
    let never = ContainerId::new("0123456789ab0123456789ab0123456789ab0123456789ab0123456789abcdef");
    runtime.remove(&never).await.expect("it never was");
    runtime.remove_network(stage.app).await.expect("it is removed");
    runtime.remove_network(stage.app).await.expect("it is gone");
    runtime.remove_image("windlass/none:none").await.expect("it never was");
}
