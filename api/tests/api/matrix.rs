//! Who may do what, for every operation that the description lists.

use axum::body::Body;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::header;
use serde_json::{Value, json};
use windlass_api::openapi;

use crate::{
    client::Reply,
    support::{Api, with_api},
};

struct Operation {
    method: String,
    path: String,
    scheme: Option<String>,
    names_something: bool,
}

/// All operations, with the names of things that there are.
fn operations(deployment: &str, token: &str) -> Vec<Operation> {
    let description: Value = serde_json::to_value(openapi()).unwrap();
    let default = description["security"].clone();
    let mut found = Vec::new();
    for (template, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let security = operation.get("security").unwrap_or(&default);
            let path = [
                ("{app}", "shop"),
                ("{repository}", "shop.git"),
                ("{deployment}", deployment),
                ("{version}", "v1"),
                ("{token}", token),
            ]
            .iter()
            .fold(template.clone(), |path, (name, value)| path.replace(name, value));
            assert!(!path.contains('{'), "a name in {template} is not known to this test");
            found.push(Operation {
                method: method.to_uppercase(),
                names_something: path != *template,
                path,
                scheme: security[0].as_object().unwrap().keys().next().cloned(),
            });
        }
    }
    found
}

async fn with_token(api: &Api, operation: &Operation, token: Option<&str>) -> Reply {
    let mut request = api.bare(&operation.method, &operation.path);
    if let Some(token) = token {
        let credential = match operation.scheme.as_deref() {
            Some("git") => format!("Basic {}", BASE64_STANDARD.encode(format!("x:{token}"))),
            _ => format!("Bearer {token}"),
        };
        request = request.header(header::AUTHORIZATION, credential);
    }
    api.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn nothing_but_health_and_setup_is_open_and_nothing_of_a_team_is_seen_by_another() {
    with_api(|api| async move {
        api.app("shop").await;
        api.patch("/apps/shop", json!({"repo_url": "https://github.com/a/b"}))
            .await
            .must_be(200);
        let deployment = api.post("/apps/shop/deployments", json!({})).await.must_be(202);
        let tokens = api.get("/tokens").await.must_be(200);
        let own = tokens["items"][0]["id"].as_str().unwrap();
        let operations = operations(deployment["id"].as_str().unwrap(), own);
        assert!(operations.len() > 30);
        let open: Vec<&str> = operations
            .iter()
            .filter(|one| one.scheme.is_none())
            .map(|one| one.path.as_str())
            .collect();
        assert_eq!(open, ["/api/v1/setup", "/health", "/livez", "/readyz"]);
        for operation in operations.iter().filter(|one| one.scheme.is_some()) {
            let what = format!("{} {}", operation.method, operation.path);
            for token in [None, Some("wl_wrong"), Some("")] {
                let refused = with_token(&api, operation, token).await;
                assert_eq!(refused.status, 401, "{what} with {token:?}: {}", refused.text);
                refused.problem(401);
                let challenge = match operation.scheme.as_deref() {
                    Some("bearer") => "Bearer ",
                    Some("git") => "Basic ",
                    _ => "",
                };
                assert!(refused.header("www-authenticate").starts_with(challenge), "{what}");
            }
            if operation.names_something {
                let stranger = with_token(&api, operation, Some(&api.stranger)).await;
                assert_eq!(stranger.status, 404, "{what}: {}", stranger.text);
                stranger.problem(404);
            }
        }
        for path in ["/apps", "/tokens"] {
            let request = api
                .bare("GET", path)
                .header(header::AUTHORIZATION, format!("Bearer {}", api.stranger));
            let seen = api.send(request.body(Body::empty()).unwrap()).await;
            assert!(!seen.text.contains("shop") && !seen.text.contains(own), "{}", seen.text);
        }
        let shop = api.get("/apps/shop").await.must_be(200);
        assert_eq!(shop["status"], "deploying");
    })
    .await;
}

#[tokio::test]
async fn another_teams_app_is_as_missing_as_one_that_never_was() {
    with_api(|api| async move {
        api.app("shop").await;
        let asked = |name: &'static str| {
            let api = api.clone();
            async move {
                let request = api.bare("GET", &format!("/apps/{name}"));
                let request = request.header(header::AUTHORIZATION, format!("Bearer {}", api.stranger));
                let mut problem = api.send(request.body(Body::empty()).unwrap()).await.problem(404);
                problem["instance"] = Value::Null;
                problem.to_string().replace(name, "NAME")
            }
        };
        assert_eq!(asked("shop").await, asked("shoe").await);
    })
    .await;
}
