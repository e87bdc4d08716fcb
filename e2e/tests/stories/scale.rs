//! More instances, and requests spread over them.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use windlass_testkit::{App, Engine, files, wait_until};

/// The instances that answer to some requests, by the host name of their container.
async fn who_answers(app: &App) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for _ in 0..12 {
        let environment = app.get("/cgi-bin/env").await.body;
        names.extend(
            environment
                .lines()
                .find_map(|line| line.strip_prefix("HOSTNAME="))
                .map(str::to_owned),
        );
    }
    names
}

async fn wait_for_instances(app: &App, count: usize) {
    wait_until(
        &format!("{count} instances answer"),
        Duration::from_secs(90),
        || async { who_answers(app).await.len() == count && app.containers().len() == count },
    )
    .await;
}

#[tokio::test]
async fn three_instances_share_the_requests() {
    let engine = Engine::start().await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 2 })).await;
    shop.push(&files::saying("hello")).await.must_succeed();
    let visitor = shop.visitor();

    shop.scale(json!({ "web": 3 })).await;
    wait_for_instances(&shop, 3).await;
    let names: BTreeSet<String> = shop
        .list("instances")
        .await
        .iter()
        .map(|instance| instance["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        ["web.1", "web.2", "web.3"].iter().all(|name| names.contains(*name)),
        "{names:?}"
    );

    shop.scale(json!({ "web": 1 })).await;
    wait_for_instances(&shop, 1).await;
    visitor.must_have_been_served().await;
}

#[tokio::test]
async fn an_app_scaled_to_nothing_says_that_it_is_not_running() {
    let engine = Engine::start().await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 1 })).await;
    shop.push(&files::saying("hello")).await.must_succeed();

    shop.scale(json!({ "web": 0 })).await;

    wait_until("the router answers 503", Duration::from_secs(60), || async {
        shop.get("/").await.status == 503
    })
    .await;
    wait_until("no container runs", Duration::from_secs(60), || async {
        shop.containers().is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_process_type_that_the_release_has_not_is_refused_by_name() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    shop.push(&files::saying("hello")).await.must_succeed();

    let problem = engine
        .api()
        .patch(&shop.path("/formation"), json!({ "wrker": 1 }))
        .await
        .problem(422);

    assert!(problem.to_string().contains("wrker"), "{problem:#}");
}

#[tokio::test]
async fn a_restart_replaces_each_instance() {
    let engine = Engine::start().await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 1 })).await;
    shop.push(&files::saying("hello")).await.must_succeed();
    let before = shop.containers();
    let visitor = shop.visitor();

    engine.api().post(&shop.path("/restart"), json!({})).await.must_be(202);

    wait_until("another container runs", Duration::from_secs(60), || async {
        let now = shop.containers();
        now.len() == 1 && now != before
    })
    .await;
    visitor.must_have_been_served().await;
}

#[tokio::test]
async fn a_worker_process_runs_beside_web() {
    let engine = Engine::start().await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 1 })).await;
    let files = files::saying("hello").with(
        "Procfile",
        "web: /app/serve\nworker: echo \"at work\"; exec sleep 1000\nrelease: echo \"migrating\"\n",
    );
    let output = shop.push(&files).await.must_succeed();
    assert!(
        output.contains("migrating"),
        "the release command runs before the switch:\n{output}"
    );

    shop.scale(json!({ "worker": 1 })).await;

    wait_until("the worker's line is in the log", Duration::from_secs(60), || async {
        engine
            .api()
            .get_text(&shop.path("/logs?process=worker"))
            .await
            .contains("at work")
    })
    .await;
    assert_eq!(shop.containers().len(), 2);
}
