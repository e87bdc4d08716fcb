use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use http::header;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use windlass_api::{ApiState, Check, ReadinessChecks, router};

use crate::{
    support::{config, open, with_api},
    webhooks::recorded,
};

#[tokio::test]
async fn everything_that_is_refused_is_a_problem() {
    with_api(|api| async move {
        api.app("shop").await;
        assert_eq!(api.get("/nowhere").await.problem(404)["code"], "not_found");
        api.get("/api/v1/nowhere").await.problem(404);
        api.get("/apps/%ff").await.problem(404);
        api.get("/apps/a%2Fb").await.problem(404);
        let method = api.put("/apps/shop", json!({})).await;
        assert_eq!(method.problem(405)["code"], "method_not_allowed");
        assert!(method.header("allow").contains("PATCH"), "{:?}", method.headers);

        let post = |body: &'static str, kind: &'static str| {
            let request = api.request("POST", "/apps").header(header::CONTENT_TYPE, kind);
            api.send(request.body(Body::from(body)).unwrap())
        };
        assert_eq!(post("{", "application/json").await.problem(400)["code"], "malformed");
        assert_eq!(post("", "application/json").await.problem(400)["code"], "malformed");
        assert_eq!(
            post("name=a", "application/x-www-form-urlencoded").await.problem(415)["code"],
            "unsupported_media_type"
        );
        let unknown = post(r#"{"name": "a", "repo": "x"}"#, "application/json; charset=utf-8").await;
        assert_eq!(unknown.pointers(), ["/repo"]);
        assert!(unknown.problem(422)["detail"].as_str().unwrap().contains("`repo_url`"));
        let large = json!({"name": "a", "branch": "x".repeat(2 << 20)});
        assert_eq!(api.post("/apps", large).await.problem(413)["code"], "too_large");
        assert_eq!(post(r#"["a"]"#, "application/json").await.pointers(), [""]);
    })
    .await;
}

#[tokio::test]
async fn answers_carry_the_request_id_and_headers_that_keep_browsers_from_harm() {
    with_api(|api| async move {
        let request = api.request("GET", "/account").header("x-request-id", "job-7");
        let known = api.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(known.header("x-request-id"), "job-7");
        assert_eq!(known.header("cache-control"), "no-store");
        assert_eq!(known.header("x-content-type-options"), "nosniff");
        assert!(known.header("content-security-policy").contains("default-src 'none'"));
        let (first, second) = (api.get("/livez").await, api.get("/livez").await);
        assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
        assert!(!first.header("x-request-id").is_empty());
    })
    .await;
}

struct Broken;

#[async_trait]
impl ReadinessChecks for Broken {
    async fn check(&self) -> Vec<Check> {
        panic!("a bug")
    }
}

#[tokio::test]
async fn without_a_database_the_answer_is_try_again_and_a_panic_is_a_problem() {
    with_api(|api| async move {
        let store = open("postgres://nobody@127.0.0.1:1/none").await;
        let config = config(api.address, api.folder.path().join("other.sock"));
        let repositories = api.repositories.clone();
        let router = router(ApiState::new(
            store,
            repositories,
            config,
            Arc::new(Broken),
            CancellationToken::new(),
        ));
        let account = api.request("GET", "/account").body(Body::empty()).unwrap();
        let hook = recorded("push").request(&api);
        for request in [account, hook] {
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers()["retry-after"], "2");
            assert_eq!(response.headers()["content-type"], "application/problem+json");
        }
        let ready = api.bare("GET", "/readyz").body(Body::empty()).unwrap();
        let panicked = router.oneshot(ready).await.unwrap();
        assert_eq!(panicked.status(), 500);
        assert_eq!(panicked.headers()["content-type"], "application/problem+json");
    })
    .await;
}
