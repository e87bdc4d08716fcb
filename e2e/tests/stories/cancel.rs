//! Deployments that somebody ends, and clients that go away.

use std::time::Duration;

use serde_json::{Value, json};
use windlass_testkit::{App, Engine, docker, files, files::Files, run, wait_until};

/// A build that does not end by itself and does not listen to SIGTERM. Its command line is its own.
fn endless(mark: &str) -> Files {
    let step = format!("RUN : {mark}; trap '' TERM; echo be\"\"gun; while true; do sleep 1; done\n");
    Files::new().with("Dockerfile", files::dockerfile(&step))
}

async fn start(shop: &App, files: &Files) -> Value {
    shop.push_with(files, &["no-deploy"]).await.must_succeed();
    let commit = shop.repo.git(&["rev-parse", "HEAD"]).await.must_succeed();
    let started = shop.deploy(json!({ "commit": commit })).await;
    wait_until("the build runs", Duration::from_secs(60), || async {
        shop.deployment_log(&started).await.contains("begun")
    })
    .await;
    started
}

async fn runs(mark: &str) -> bool {
    run(tokio::process::Command::new("pgrep").args(["-f", mark])).await.ok
}

#[tokio::test]
async fn a_cancelled_build_really_stops() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    let mark = format!("mark-{}", engine.id());
    let started = start(&shop, &endless(&mark)).await;
    assert!(runs(&mark).await);

    let id = started["id"].as_str().unwrap();
    engine
        .api()
        .post(&shop.path(&format!("/deployments/{id}/cancel")), json!({}))
        .await
        .must_be(202);

    assert_eq!(shop.ended(&started).await["status"], "cancelled");
    wait_until("the step's processes are gone", Duration::from_secs(30), || async {
        !runs(&mark).await
    })
    .await;
    engine
        .api()
        .post(&shop.path(&format!("/deployments/{id}/cancel")), json!({}))
        .await
        .problem(409);
}

#[tokio::test]
async fn an_interrupted_push_does_not_stop_the_deployment() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    // The engine's id makes it a step that no earlier run has left in the build cache.
    let step = format!("RUN : {}; sleep 4\nCMD [\"/app/serve\"]\n", engine.id());
    let slow = files::saying("hello").with("Dockerfile", files::dockerfile(&step));
    shop.repo.commit(&slow).await;
    let mut push = shop.repo.command(&["push", shop.git_url(), "HEAD:refs/heads/main"]);
    let mut client = push.kill_on_drop(true).spawn().unwrap();
    wait_until("the deployment runs", Duration::from_secs(60), || async {
        shop.list("deployments")
            .await
            .first()
            .is_some_and(|deployment| deployment["step"] == "build")
    })
    .await;

    client.kill().await.unwrap();

    let deployment = shop.last_deployment().await;
    shop.succeeded(&deployment).await;
    shop.must_say("hello").await;
}

#[tokio::test]
async fn the_newest_waiting_revision_supersedes_those_before_it() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    let mark = format!("mark-{}", engine.id());
    let running = start(&shop, &endless(&mark)).await;
    let mut waiting = Vec::new();
    for text in ["one", "two"] {
        shop.push_with(&files::saying(text), &["no-deploy"])
            .await
            .must_succeed();
        let commit = shop.repo.git(&["rev-parse", "HEAD"]).await.must_succeed();
        waiting.push(shop.deploy(json!({ "commit": commit })).await);
    }

    let id = running["id"].as_str().unwrap();
    engine
        .api()
        .post(&shop.path(&format!("/deployments/{id}/cancel")), json!({}))
        .await
        .must_be(202);

    let newest = shop.succeeded(&waiting[1]).await;
    let older = shop.ended(&waiting[0]).await;
    assert_eq!(
        (&older["status"], &older["superseded_by"]),
        (&json!("superseded"), &newest["id"])
    );
    shop.must_say("two").await;
}

#[tokio::test]
async fn a_waiting_deployment_is_cancelled_at_once() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    let mark = format!("mark-{}", engine.id());
    let running = start(&shop, &endless(&mark)).await;
    shop.push_with(&files::saying("next"), &["no-deploy"])
        .await
        .must_succeed();
    let commit = shop.repo.git(&["rev-parse", "HEAD"]).await.must_succeed();
    let waiting = shop.deploy(json!({ "commit": commit })).await;

    for deployment in [&waiting, &running] {
        let id = deployment["id"].as_str().unwrap();
        engine
            .api()
            .post(&shop.path(&format!("/deployments/{id}/cancel")), json!({}))
            .await
            .must_be(202);
        assert_eq!(shop.ended(deployment).await["status"], "cancelled");
    }
    shop.destroy().await;
    assert_eq!(docker::leftovers(engine.id()), Vec::<String>::new());
}
