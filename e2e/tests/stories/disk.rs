//! What protects the machine from builds: room on the disk before one begins, and a limit of memory while one runs.

use std::path::Path;

use serde_json::json;
use windlass_testkit::{App, Engine, EngineOptions, files};

/// More than any machine has free.
const TOO_MUCH: u64 = 1 << 50;

/// The budget is large, so that the build cache of other stories is not what is removed to make room.
fn configure(file: &Path, min_free_bytes: u64) {
    let text =
        format!("[disk]\nmin_free_bytes = {min_free_bytes}\nmin_free_percent = 0\n[build]\ncache_bytes = {TOO_MUCH}\n");
    std::fs::write(file, text).unwrap();
}

/// An app that serves "old".
async fn serving(engine: &Engine) -> App {
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 1 })).await;
    shop.push(&files::saying("old")).await.must_succeed();
    shop
}

#[tokio::test]
async fn a_build_is_refused_while_the_disk_has_too_little_room() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.toml");
    configure(&file, 0);
    let options = EngineOptions::default().with("WINDLASS_CONFIG", file.to_str().unwrap());
    let mut engine = Engine::start_with(options).await;
    let shop = serving(&engine).await;

    configure(&file, TOO_MUCH);
    engine.restart().await;
    let output = shop.push(&files::saying("new")).await.must_fail();

    assert!(output.contains("too little room on the server for a build"), "{output}");
    assert!(output.contains("Next: free space on the server"), "{output}");
    let deployment = shop.last_deployment().await;
    assert_eq!(deployment["failure"]["code"], "machine_limit", "{deployment:#}");
    shop.must_say("old").await;
    let doctor = engine.windlassd(&["doctor"]).await;
    assert!(
        !doctor.ok && doctor.text().contains("no build can begin"),
        "{}",
        doctor.text()
    );

    configure(&file, 0);
    engine.restart().await;
    shop.push(&files::saying("newer")).await.must_succeed();
    shop.must_say("newer").await;
}

#[tokio::test]
async fn a_deployment_without_a_build_needs_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.toml");
    configure(&file, 0);
    let options = EngineOptions::default().with("WINDLASS_CONFIG", file.to_str().unwrap());
    let mut engine = Engine::start_with(options).await;
    let shop = serving(&engine).await;
    shop.push(&files::saying("new")).await.must_succeed();

    configure(&file, TOO_MUCH);
    engine.restart().await;
    let rollback = shop.roll_back(None).await;

    shop.succeeded(&rollback).await;
    shop.must_say("old").await;
}

#[tokio::test]
async fn a_build_that_takes_too_much_memory_is_killed_and_says_so() {
    // Far more than the builds of other stories need, which may run at the same time.
    let options = EngineOptions::default().with("WINDLASS_BUILD_MEMORY", (384_u64 << 20).to_string());
    let engine = Engine::start_with(options).await;
    let shop = serving(&engine).await;
    let visitor = shop.visitor();
    // One line without an end. The engine's id makes it a step that no earlier run has left in the build cache.
    let hog = format!("RUN : {}; head -c 1000m /dev/zero | grep -c windlass\n", engine.id());
    let greedy = files::saying("new").with("Dockerfile", files::dockerfile(&hog));

    let output = shop.push(&greedy).await.must_fail();

    assert!(
        output.contains("ran out of memory: a build may use 384 MiB on this server"),
        "{output}"
    );
    let deployment = shop.last_deployment().await;
    assert_eq!(deployment["failure"]["code"], "out_of_memory", "{deployment:#}");
    shop.must_say("old").await;
    visitor.must_have_been_served().await;
}
