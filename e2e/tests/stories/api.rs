//! The API at its edges: who may come in, and what is said to bad input.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use windlass_testkit::{Browser, Engine, eventually};

#[tokio::test]
async fn nothing_but_health_is_open_without_a_token() {
    let engine = Engine::start().await;
    let nobody = engine.api().with_token(None);
    for open in ["/livez", "/readyz", "/health", "/api/v1/openapi.json"] {
        nobody.get(open).await.must_be(200);
    }
    for closed in [
        "/api/v1/apps",
        "/api/v1/account",
        "/api/v1/tokens",
        "/api/v1/apps/x/logs",
        "/api/v1/apps/x/config",
    ] {
        nobody.get(closed).await.problem(401);
        engine.api().with_token(Some("wl_wrong")).get(closed).await.problem(401);
    }
}

#[tokio::test]
async fn readiness_names_each_dependency() {
    let engine = Engine::start().await;
    let ready = engine.api().get("/readyz").await.must_be(200);
    let checks = ready["checks"].as_array().unwrap();
    let named = |part: &str| {
        checks
            .iter()
            .any(|check| check["name"].as_str().unwrap().contains(part))
    };
    assert!(named("postgres") && named("docker"), "{ready:#}");
}

#[tokio::test]
async fn bad_input_is_answered_with_the_field_that_is_wrong() {
    let engine = Engine::start().await;
    let create = |body: Value| {
        let api = engine.api().clone();
        async move { api.post("/api/v1/apps", body).await }
    };
    for name in ["Shop", "-shop", "shop_1", "a.b", "", "../etc", "x; id"] {
        let problem = create(json!({ "name": name })).await.problem(422);
        assert_eq!(problem["errors"][0]["pointer"], "/name", "{problem:#}");
    }
    let problem = create(json!({ "name": "shop", "colour": "red" })).await.problem(422);
    assert!(problem.to_string().contains("colour"), "{problem:#}");
    let problem = create(json!({ "name": "shop", "limits": { "memory_bytes": 1 } }))
        .await
        .problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/limits/memory_bytes", "{problem:#}");

    create(json!({ "name": "shop" })).await.must_be(201);
    create(json!({ "name": "shop" })).await.problem(409);
}

#[tokio::test]
async fn what_is_no_request_is_a_problem_too() {
    let engine = Engine::start().await;
    engine.api().get("/api/v1/nothing").await.problem(404);
    engine.api().get("/api/v1/apps/nothing").await.problem(404);
    engine.api().delete("/api/v1/apps").await.problem(405);
    let broken = engine
        .api()
        .request(Method::POST, "/api/v1/apps")
        .header("content-type", "application/json");
    let answer = broken.body("{\"name\": ").send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (400, &"application/problem+json".parse().unwrap())
    );
    let text = engine
        .api()
        .request(Method::POST, "/api/v1/apps")
        .header("content-type", "text/plain");
    assert_eq!(text.body("{}").send().await.unwrap().status().as_u16(), 415);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let engine = Engine::start().await;
    let mut created = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        created.push(engine.app(name).await.name().to_owned());
    }
    let mut names = Vec::new();
    let mut path = "/api/v1/apps?limit=2".to_owned();
    loop {
        let page = engine.api().get(&path).await.must_be(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        names.extend(items.iter().map(|app| app["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/apps?limit=2&cursor={next}");
    }
    names.sort();
    assert_eq!(names, created);
}

#[tokio::test]
async fn a_revoked_token_no_longer_works() {
    let engine = Engine::start().await;
    let made = engine
        .api()
        .post("/api/v1/tokens", json!({ "name": "ci" }))
        .await
        .must_be(201);
    let other = engine.api().with_token(made["token"].as_str());
    other.get("/api/v1/apps").await.must_be(200);

    let revoked = engine
        .api()
        .delete(&format!("/api/v1/tokens/{}", made["id"].as_str().unwrap()))
        .await;

    assert!((200..300).contains(&revoked.status), "{revoked:?}");
    other.get("/api/v1/apps").await.problem(401);
}

#[tokio::test]
async fn the_setup_token_works_once() {
    let engine = Engine::start().await;
    let nobody = engine.api().with_token(None);
    nobody
        .post("/api/v1/setup", json!({ "setup_token": "wls_wrong" }))
        .await
        .problem(401);
    let file = engine.data_dir().join("setup-token");
    eventually("the file goes with its redemption", Duration::from_secs(10), || {
        let gone = !file.exists();
        async move { gone.then_some(()) }
    })
    .await;
    let again = engine.windlassd(&["setup-token"]).await.must_succeed();
    let token = again
        .split_whitespace()
        .find(|word| word.starts_with("wls_"))
        .unwrap_or_else(|| panic!("{again}"));
    nobody
        .post("/api/v1/setup", json!({ "setup_token": token }))
        .await
        .must_be(201);
    nobody
        .post("/api/v1/setup", json!({ "setup_token": token }))
        .await
        .problem(401);
}

#[tokio::test]
async fn the_documentation_opens_in_a_browser_without_the_internet() {
    let engine = Engine::start().await;
    let document = engine
        .api()
        .with_token(None)
        .get("/api/v1/openapi.json")
        .await
        .must_be(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let Some(browser) = Browser::find() else { return };

    let page = browser.page(&format!("{}/docs/", engine.url())).await;

    assert!(
        page.contains("/api/v1/apps"),
        "the operations are on the page: {}",
        &page[..page.len().min(2000)]
    );
}
