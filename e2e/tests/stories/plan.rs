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
    let scaling = shop.path("/formation?dry_run=true");
    let scaled = engine.api().patch(&scaling, json!({ "web": 0 })).await.must_be(200);
    assert_eq!(scaled["processes"], json!([{ "process": "web", "from": 1, "to": 0 }]));
    assert_eq!(shop.containers(), containers);
    assert_eq!(everything(&engine, &shop).await, before);
}

#[tokio::test]
async fn a_plan_of_a_pushed_commit_tells_its_own_process_types() {
    let engine = Engine::start().await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 1 })).await;
    shop.push(&files::saying("one")).await.must_succeed();
    let plan_of_the_last = async || {
        let commit = shop.last_deployment().await["commit"].clone();
        let path = shop.path("/deployments?dry_run=true");
        engine.api().post(&path, json!({ "commit": commit })).await.must_be(200)
    };

    // What fails is in the repository all the same.
    let procfile = "web: /app/serve\nworker: /app/serve\nrelease: /bin/false\n";
    let two = files::saying("two").with("Procfile", procfile);
    shop.push(&two).await.must_fail();
    let plan = plan_of_the_last().await;
    assert_eq!(plan["processes_assumed"], false, "{plan:#}");
    assert_eq!(
        plan["processes"][0]["change"], "changed",
        "the Dockerfile's own command before: {plan:#}"
    );
    let worker = &plan["processes"][1];
    assert_eq!(
        (&worker["process"], &worker["change"]),
        (&json!("worker"), &json!("added")),
        "{plan:#}"
    );
    assert!(
        plan["warnings"][0].as_str().unwrap().contains("release command"),
        "{plan:#}"
    );

    shop.push(&two.with("Procfile", "<<<<<<< HEAD\n")).await.must_fail();
    let plan = plan_of_the_last().await;
    assert_eq!(plan["processes_assumed"], true, "{plan:#}");
    assert!(
        plan["warnings"].to_string().contains("cannot be built: Procfile"),
        "{plan:#}"
    );
}

#[tokio::test]
async fn a_planned_change_of_config_vars_comes_as_it_was_told() {
    let engine = Engine::start().await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 1 })).await;
    shop.push(&files::saying("hello")).await.must_succeed();
    let (containers, before) = (shop.containers(), everything(&engine, &shop).await);
    let changes = json!({ "MODE": "secret-of-the-shop" });

    let path = shop.path("/config?dry_run=true");
    let plan = engine.api().patch(&path, changes.clone()).await.must_be(200);

    assert_eq!(
        plan["config"],
        json!({ "added": ["MODE"], "changed": [], "removed": [] })
    );
    let deployment = &plan["deployment"];
    assert_eq!(
        (&deployment["live"], &deployment["release"]),
        (&json!("v1"), &json!("v2"))
    );
    assert_eq!(deployment["image"]["action"], "reuse", "{plan:#}");
    assert!(!plan.to_string().contains("secret-of-the-shop"), "{plan:#}");
    assert_eq!(shop.containers(), containers);
    assert_eq!(everything(&engine, &shop).await, before);

    let made = engine.api().patch(&shop.path("/config"), changes).await.must_be(200);
    assert_eq!(made["deployment"]["kind"], deployment["kind"]);
    let ended = shop.succeeded(&made["deployment"]).await;
    assert_eq!(ended["release"], deployment["release"], "{ended:#}");
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
