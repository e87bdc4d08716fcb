//! Workers that die, with a deployment in their hands: the next one goes on where they were, but not for ever.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use windlass_testkit::{App, Engine, docker, eventually, files, files::Files, wait_until};

const LONG: Duration = Duration::from_secs(60);

/// A build that takes this long. The engine's id makes it a step that no earlier run has left in the build cache.
fn slow_build(engine: &Engine, seconds: u32, text: &str) -> Files {
    let step = format!(
        "RUN : {}; echo be\"\"gun; sleep {seconds}\nCMD [\"/app/serve\"]\n",
        engine.id()
    );
    files::saying(text).with("Dockerfile", files::dockerfile(&step))
}

async fn start(shop: &App, files: &Files) -> Value {
    shop.push_with(files, &["no-deploy"]).await.must_succeed();
    let commit = shop.repo.git(&["rev-parse", "HEAD"]).await.must_succeed();
    shop.deploy(json!({ "commit": commit })).await
}

async fn now(engine: &Engine, shop: &App, deployment: &Value) -> Value {
    let id = deployment["id"].as_str().unwrap();
    engine
        .api()
        .get(&shop.path(&format!("/deployments/{id}")))
        .await
        .must_be(200)
}

/// Waits until a deployment is at this attempt, and gives it.
async fn attempt(engine: &Engine, shop: &App, deployment: &Value, attempt: i64) -> Value {
    eventually(&format!("attempt {attempt} begins"), LONG, || async {
        let now = now(engine, shop, deployment).await;
        (now["attempt"] == attempt).then_some(now)
    })
    .await
}

#[tokio::test]
async fn a_deployment_that_three_workers_died_of_is_given_up() {
    let mut engine = Engine::start().await;
    let shop = engine.app("shop").await;
    let deadly = start(&shop, &slow_build(&engine, 120, "deadly")).await;

    for deaths in 1..=3 {
        wait_until("it is being built", LONG, || async {
            // The deployment itself says `build` from the attempt before until this one begins with a step.
            let now = now(&engine, &shop, &deadly).await;
            let mut steps = now["steps"].as_array().into_iter().flatten();
            steps.any(|step| step["attempt"] == deaths && step["step"] == "build")
        })
        .await;
        engine.kill9();
        let killed = Instant::now();
        engine.restart().await;
        attempt(&engine, &shop, &deadly, deaths + 1).await;
        let took = killed.elapsed();
        println!("taken over {took:?} after the kill");
        assert!(took < Duration::from_secs(10), "{took:?}");
    }

    let ended = shop.ended(&deadly).await;
    assert_eq!(ended["status"], "failed");
    let reason = ended["failure"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("3 workers died") && reason.contains("build"),
        "{reason}"
    );
    shop.push(&files::saying("harmless")).await.must_succeed();
    shop.must_say("harmless").await;
}

#[tokio::test]
async fn what_was_built_and_started_is_found_by_the_next_worker() {
    let mut engine = Engine::start().await;
    let shop = engine.app("shop").await;
    let slowly = "#!/bin/sh\nsleep 8\nhttpd -f -p \"$PORT\" -h /app/www &\ntrap 'kill $!; exit 0' TERM\nwait $!\n";
    let files = slow_build(&engine, 1, "hello")
        .with_program("serve", slowly)
        .with("Procfile", "web: /app/serve\nrelease: echo migr\"\"ates\n");
    let started = start(&shop, &files).await;
    wait_until("its instance has been started", LONG, || async {
        now(&engine, &shop, &started).await["step"] == "probe" && shop.containers().len() == 1
    })
    .await;
    let before = shop.containers();

    engine.kill9();
    let killed = Instant::now();
    engine.restart().await;
    attempt(&engine, &shop, &started, 2).await;
    let taken_over = killed.elapsed();
    shop.succeeded(&started).await;

    println!("taken over {taken_over:?}, live {:?} after the kill", killed.elapsed());
    assert!(taken_over < Duration::from_secs(10), "{taken_over:?}");
    assert_eq!(shop.containers(), before, "the same container, not another one");
    let log = shop.deployment_log(&started).await;
    assert_eq!(log.matches("Building with").count(), 1, "{log}");
    assert_eq!(log.matches("migrates").count(), 1, "nothing is migrated twice: {log}");
    assert_eq!(engine.ask_database("select count(*) from images").await, "1");
    shop.must_say("hello").await;
}

#[tokio::test]
async fn a_rollback_builds_an_image_again_that_was_removed_by_hand() {
    let engine = Engine::start().await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 1 })).await;
    shop.push(&files::saying("one")).await.must_succeed();
    shop.push(&files::saying("two")).await.must_succeed();
    let image = engine
        .ask_database("select i.reference from releases r join images i on i.id = r.image_id where r.version = 1")
        .await;
    wait_until("nothing uses the image any more", LONG, || async {
        docker::try_docker(&["rmi", &image]).is_ok()
    })
    .await;

    let ended = shop.roll_back(Some("v1")).await;

    let log = shop.deployment_log(&ended).await;
    assert_eq!(ended["status"], "succeeded", "{log}");
    assert!(log.contains("building") && log.contains("again"), "{log}");
    shop.must_say("one").await;
}
