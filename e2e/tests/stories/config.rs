//! Config vars: a change is a new release over the same image.

use std::time::Duration;

use serde_json::json;
use windlass_testkit::{Engine, eventually, files, run_in};

#[tokio::test]
async fn a_config_change_is_a_new_release_of_the_running_image() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    shop.push(&files::saying("hello")).await.must_succeed();

    let changed = shop.set_config(json!({ "GREETING": "good day" })).await;
    shop.succeeded(&changed["deployment"]).await;

    let environment = shop.get("/cgi-bin/env").await.body;
    assert!(environment.contains("GREETING=good day\n"), "{environment}");
    let releases = shop.list("releases").await;
    assert_eq!(
        (releases[0]["version"].as_str(), releases[1]["version"].as_str()),
        (Some("v2"), Some("v1"))
    );
    assert_eq!(releases[0]["image"], releases[1]["image"]);

    let removed = shop.set_config(json!({ "GREETING": null })).await;
    shop.succeeded(&removed["deployment"]).await;
    assert!(!shop.get("/cgi-bin/env").await.body.contains("GREETING"));
}

#[tokio::test]
async fn setting_what_is_set_changes_nothing() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    shop.set_config(json!({ "A": "1" })).await;

    let again = shop.set_config(json!({ "A": "1" })).await;

    assert_eq!(
        (again["changed"].as_bool(), again["version"].as_u64()),
        (Some(false), Some(1))
    );
    assert!(
        shop.list("deployments").await.is_empty(),
        "there is no image yet to release"
    );
}

#[tokio::test]
async fn values_are_sealed_at_rest_and_redacted_in_logs() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    let secret = "correct-horse-battery-staple";
    shop.set_config(json!({ "PASSWORD": secret })).await;
    let chatty = "echo \"the password is $PASSWORD\"; exec httpd -f -p \"$PORT\" -h /app";
    shop.push(&files::running(chatty)).await.must_succeed();

    // What an instance writes is collected in batches.
    let log = eventually("the line is collected", Duration::from_secs(30), || async {
        let log = shop.logs().await;
        log.contains("the password is ").then_some(log)
    })
    .await;
    assert!(!log.contains(secret), "{log}");
    assert!(!engine.log().contains(secret));
    engine.ask_database("checkpoint").await;
    let found = run_in(engine.data_dir(), "grep", &["-rlF", secret, "."]).await;
    assert!(!found.ok, "the plain text stands in {}", found.stdout);
}

#[tokio::test]
async fn a_name_that_is_no_variable_is_refused() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;

    let reply = engine
        .api()
        .patch(&shop.path("/config"), json!({ "NOT-A-NAME": "x" }))
        .await;

    let problem = reply.problem(422);
    assert!(
        problem["errors"][0]["pointer"].as_str().unwrap().contains("NOT-A-NAME"),
        "{problem:#}"
    );
}
