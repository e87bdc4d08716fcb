use axum::body::Body;
use http::header;
use serde_json::json;

use crate::support::with_api;

#[tokio::test]
async fn the_setup_token_gives_an_api_token_once() {
    with_api(|api| async move {
        let body = json!({"setup_token": api.setup_token, "name": "ada"});
        let set_up = api.post("/setup", body.clone()).await.must_be(201);
        assert!(set_up["token"].as_str().unwrap().starts_with("wl_"));
        assert_eq!(set_up["team"], api.team.to_string());
        let request = api.bare("GET", "/account");
        let request = request.header(
            header::AUTHORIZATION,
            format!("Bearer {}", set_up["token"].as_str().unwrap()),
        );
        let account = api.send(request.body(Body::empty()).unwrap()).await.must_be(200);
        assert_eq!(account["token"]["name"], "ada");
        assert_eq!(account["server"]["base_domain"], "apps.example.com");
        let again = api.post("/setup", body).await.problem(401);
        assert_eq!(again["code"], "unauthorized");
        api.post("/setup", json!({"setup_token": "wls_guessed"}))
            .await
            .problem(401);
        assert_eq!(
            api.post("/setup", json!({"setup_token": "x", "name": ""}))
                .await
                .pointers(),
            ["/name"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_token_is_shown_once_and_refused_when_it_is_revoked() {
    with_api(|api| async move {
        let made = api.post("/tokens", json!({"name": "ci"})).await.must_be(201);
        let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
        let account = || async {
            let request = api
                .bare("GET", "/account")
                .header(header::AUTHORIZATION, format!("Bearer {token}"));
            api.send(request.body(Body::empty()).unwrap()).await
        };
        assert_eq!(account().await.must_be(200)["token"]["id"], id);
        let listed = api.get("/tokens").await;
        assert!(!listed.text.contains(token), "{}", listed.text);
        let names = listed.must_be(200)["items"].as_array().unwrap().len();
        assert_eq!(names, 2);
        assert_eq!(api.delete(&format!("/tokens/{id}")).await.status, 204);
        let refused = account().await;
        refused.problem(401);
        assert!(refused.header("www-authenticate").starts_with("Bearer"));
        api.delete(&format!("/tokens/{id}")).await.problem(404);
        api.delete("/tokens/nonsense").await.problem(404);
        assert_eq!(
            api.get("/tokens").await.must_be(200)["items"].as_array().unwrap().len(),
            1
        );
        for name in ["", " ", "a\nb", &"x".repeat(101)] {
            assert_eq!(api.post("/tokens", json!({"name": name})).await.pointers(), ["/name"]);
        }
    })
    .await;
}
