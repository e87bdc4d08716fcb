//! The first minute of a release: one that does badly is rolled back by itself, and says why.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::process::Command;
use windlass_testkit::{App, Engine, Visitor, eventually, files, files::Files, program, run, wait_until};

const LONG: Duration = Duration::from_secs(60);

/// Answers for a while, then ends.
fn dying_after(seconds: &str, text: &str) -> Files {
    let script = format!("#!/bin/sh\nhttpd -f -p \"$PORT\" -h /app/www &\nsleep {seconds}\nexit 3\n");
    files::saying(text).with_program("serve", script)
}

/// Is healthy, and answers one path with 500.
fn failing(text: &str) -> Files {
    let page = "#!/bin/sh\nprintf 'Status: 500 Broken\\r\\nContent-Type: text/plain\\r\\n\\r\\nno such table\\n'\n";
    files::saying(text).with_program("www/cgi-bin/page", page)
}

/// Answers that path as it should.
fn working(text: &str) -> Files {
    let page = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\nhere you are\\n'\n";
    files::saying(text).with_program("www/cgi-bin/page", page)
}

/// An app whose first release is good.
async fn good_app(engine: &Engine, watch: Value) -> App {
    let shop = engine
        .app_with(json!({ "name": "shop", "drain_seconds": 1, "watch": watch }))
        .await;
    shop.push(&working("good")).await.must_succeed();
    shop
}

/// Waits for the rollback that nobody asked for, and gives it as it ended.
async fn rolled_back(shop: &App) -> Value {
    let asked = eventually("a rollback is asked for", LONG, || async {
        let newest = shop.last_deployment().await;
        (newest["trigger"] == "watch").then_some(newest)
    })
    .await;
    assert_eq!(asked["kind"], json!({ "type": "rollback", "to": "v1" }));
    shop.succeeded(&asked).await
}

/// What `windlass` says to these arguments.
async fn windlass(engine: &Engine, args: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program("windlass"));
    command
        .args(args)
        .env("HOME", home.path())
        .env("WINDLASS_URL", engine.url())
        .env("WINDLASS_TOKEN", engine.api().token());
    run(&mut command).await.must_succeed()
}

#[tokio::test]
async fn an_app_that_dies_after_the_switch_is_rolled_back_and_the_reason_is_told() {
    let engine = Engine::start().await;
    let shop = good_app(&engine, json!({})).await;

    shop.push(&dying_after("2", "bad")).await.must_succeed();
    let live = Instant::now();
    let rollback = rolled_back(&shop).await;
    let took = live.elapsed();
    shop.must_say("good").await;

    println!("rolled back {took:?} after it went live");
    assert!(took < Duration::from_secs(15), "{took:?}");
    let reason = rollback["message"].as_str().unwrap();
    assert!(reason.contains("v2") && reason.contains("ended 2 times"), "{reason}");
    assert!(shop.deployment_log(&rollback).await.contains(reason));
    let listed = windlass(&engine, &["deployments", "--app", shop.name()]).await;
    assert!(listed.contains("watch") || listed.contains("rolled back"), "{listed}");
    assert_eq!(shop.show().await["release"], "v3");
}

#[tokio::test]
async fn an_app_that_answers_with_errors_after_the_switch_is_rolled_back() {
    let engine = Engine::start().await;
    let shop = good_app(&engine, json!({ "min_requests": 10 })).await;
    let visitor = Visitor::start(engine.router(), shop.host(), "/cgi-bin/page".to_owned());

    shop.push(&failing("bad")).await.must_succeed();
    let live = Instant::now();
    let rollback = rolled_back(&shop).await;

    println!("rolled back {:?} after it went live", live.elapsed());
    let reason = rollback["message"].as_str().unwrap();
    assert!(reason.contains("500"), "{reason}");
    let served = visitor.served();
    wait_until("it serves again", LONG, || async { visitor.served() > served + 5 }).await;
    shop.must_say("good").await;
}

#[tokio::test]
async fn without_a_window_nothing_is_rolled_back() {
    let engine = Engine::start().await;
    let shop = good_app(&engine, json!({ "seconds": 0 })).await;

    shop.push(&dying_after("1", "bad")).await.must_succeed();

    wait_until("it has ended three times", LONG, || async {
        let instances = shop.list("instances?all=true").await;
        instances.iter().filter(|one| one["state"] == "crashed").count() >= 3
    })
    .await;
    assert_eq!(shop.list("deployments").await.len(), 2);
    assert_eq!(shop.show().await["release"], "v2");
}

#[tokio::test]
async fn a_deployment_that_is_under_way_may_be_the_cure() {
    let engine = Engine::start().await;
    let shop = good_app(&engine, json!({})).await;
    shop.push(&dying_after("1", "bad")).await.must_succeed();
    let step = format!("RUN : {}; sleep 10\nCMD [\"/app/serve\"]\n", engine.id());
    let cure = files::saying("cured").with("Dockerfile", files::dockerfile(&step));
    shop.push_with(&cure, &["no-deploy"]).await.must_succeed();
    let commit = shop.repo.git(&["rev-parse", "HEAD"]).await.must_succeed();

    let cure = shop.deploy(json!({ "commit": commit })).await;
    wait_until("the bad one has ended often enough", LONG, || async {
        let instances = shop.list("instances?all=true").await;
        let crashed = instances.iter().filter(|one| one["state"] == "crashed").count();
        crashed >= 2
    })
    .await;

    shop.succeeded(&cure).await;
    shop.must_say("cured").await;
    let triggers: Vec<Value> = shop
        .list("deployments")
        .await
        .into_iter()
        .map(|mut one| one["trigger"].take())
        .collect();
    assert!(!triggers.contains(&json!("watch")), "{triggers:?}");
}
