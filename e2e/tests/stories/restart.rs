//! The engine dies, and nobody notices.

use std::time::Duration;

use serde_json::json;
use windlass_testkit::{Engine, docker, files, wait_until};

#[tokio::test]
async fn killing_the_engine_disturbs_no_request() {
    let mut engine = Engine::start().await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 1 })).await;
    shop.push(&files::saying("one")).await.must_succeed();
    let before = shop.containers();
    let visitor = shop.visitor();

    engine.kill9();
    let served = visitor.served();
    wait_until("the app serves without an engine", Duration::from_secs(10), || async {
        visitor.served() > served + 20
    })
    .await;
    engine.restart().await;

    assert_eq!(shop.containers(), before, "the same containers serve");
    shop.push(&files::saying("two")).await.must_succeed();
    shop.must_say("two").await;
    visitor.must_have_been_served().await;
}

#[tokio::test]
async fn stopping_and_starting_the_engine_disturbs_no_request() {
    let mut engine = Engine::start().await;
    let shop = engine.app("shop").await;
    shop.push(&files::saying("one")).await.must_succeed();
    let before = shop.containers();
    let visitor = shop.visitor();

    engine.restart().await;

    assert_eq!(shop.containers(), before);
    visitor.must_have_been_served().await;
}

#[tokio::test]
async fn a_deployment_outlives_the_worker_that_ran_it() {
    let mut engine = Engine::start().await;
    let shop = engine.app("shop").await;
    // The engine's id makes it a step that no earlier run has left in the build cache.
    let step = format!("RUN : {}; echo be\"\"gun; sleep 5\nCMD [\"/app/serve\"]\n", engine.id());
    let slow = files::saying("hello").with("Dockerfile", files::dockerfile(&step));
    shop.push_with(&slow, &["no-deploy"]).await.must_succeed();
    let commit = shop.repo.git(&["rev-parse", "HEAD"]).await.must_succeed();
    let started = shop.deploy(json!({ "commit": commit })).await;
    wait_until("the build runs", Duration::from_secs(60), || async {
        shop.deployment_log(&started).await.contains("begun")
    })
    .await;

    engine.kill9();
    engine.restart().await;

    shop.succeeded(&started).await;
    shop.must_say("hello").await;
    assert_eq!(shop.containers().len(), 1);
}

#[tokio::test]
async fn a_container_that_was_removed_by_hand_is_started_again() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    shop.push(&files::saying("hello")).await.must_succeed();
    let before = shop.containers();

    docker::docker(&["rm", "-f", &before[0]]);

    wait_until("another container serves", Duration::from_secs(60), || async {
        let now = shop.containers();
        !now.is_empty() && now != before && shop.get("/").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn the_engine_touches_nothing_without_its_own_label() {
    let engine = Engine::start().await;
    let name = format!("stranger-{}", engine.id());
    let labels = [
        "--label",
        "windlass.managed=true",
        "--label",
        "windlass.engine=another",
        "--label",
        "windlass.app=shop",
    ];
    docker::docker(
        &[
            &["run", "-d", "--name", &name],
            &labels[..],
            &[docker::BUSYBOX, "sleep", "1000"],
        ]
        .concat(),
    );
    let shop = engine.app("shop").await;
    shop.push(&files::saying("hello")).await.must_succeed();
    shop.destroy().await;

    let still = docker::try_docker(&["inspect", "-f", "{{.State.Running}}", &name]);
    docker::docker(&["rm", "-f", &name]);
    assert_eq!(still, Ok(vec!["true".to_owned()]));
}
