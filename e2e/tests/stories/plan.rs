//! Looking ahead: what a deployment would change, told before anything is done.

use serde_json::json;
use windlass_testkit::{Engine, files};

#[tokio::test]
async fn a_plan_says_what_would_change_and_changes_nothing() {
    let engine = Engine::start().await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 1 })).await;
    shop.push(&files::saying("hello")).await.must_succeed();
    let changes = json!({ "health": { "path": "/" }, "limits": { "pids": 200 }, "strategy": "recreate" });
    engine.api().patch(&shop.path(""), changes).await.must_be(200);
    shop.scale(json!({ "web": 1 })).await;
    let (containers, before) = (shop.containers(), everything(&engine, &shop).await);

    let plan = engine
        .api()
        .post(&shop.path("/deployments?dry_run=true"), json!({}))
        .await
        .must_be(200);

    assert_eq!((&plan["live"], &plan["release"]), (&json!("v1"), &json!("v2")));
    assert_eq!(plan["image"]["commit"], before[1]["items"][0]["commit"], "{plan:#}");
    let fields: Vec<&str> = plan["settings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|setting| setting["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["/health/path", "/limits/pids", "/strategy"]);
    assert_eq!(
        plan["processes"],
        json!([{ "process": "web", "change": "unchanged", "start": 1, "stop": 1, "at_most": 1 }])
    );
    assert_eq!(plan["routes"][0]["host"], shop.host());
    let downtime = &plan["downtime"];
    assert_eq!(downtime["expected"], "yes", "{plan:#}");
    assert!(
        downtime["seconds"].as_u64().is_some_and(|seconds| seconds > 0),
        "{downtime:#}"
    );
    assert_eq!(shop.containers(), containers);
    assert_eq!(everything(&engine, &shop).await, before);
}

#[tokio::test]
async fn a_coming_downtime_is_told_before_the_build_begins() {
    let engine = Engine::start().await;
    let settings = json!({ "name": "shop", "drain_seconds": 1, "strategy": "recreate" });
    let shop = engine.app_with(settings).await;
    let first = shop.push(&files::saying("one")).await.must_succeed();
    assert!(!first.contains("Downtime:"), "nothing is live yet:\n{first}");

    let second = shop.push(&files::saying("two")).await.must_succeed();

    let at = |text: &str| second.find(text).unwrap_or_else(|| panic!("no {text:?} in:\n{second}"));
    assert!(at("Downtime:") < at("Building"), "{second}");
    shop.must_say("two").await;
}

/// All that can be read of an app.
async fn everything(engine: &Engine, app: &windlass_testkit::App) -> Vec<serde_json::Value> {
    let mut seen = Vec::new();
    for path in ["", "/deployments", "/releases", "/config", "/formation"] {
        seen.push(engine.api().get(&app.path(path)).await.must_be(200));
    }
    seen
}
