use serde_json::json;
use windlass_domain::InstanceState;
use windlass_store::InstanceEnd;

use crate::{
    support::with_api,
    worker::{claim, keep, start},
};

#[tokio::test]
async fn process_types_are_scaled_and_restarted() {
    with_api(|api| async move {
        api.post("/apps", json!({"name": "shop", "repo_url": "https://github.com/a/b"}))
            .await
            .must_be(201);
        api.post("/apps/shop/deployments", json!({})).await.must_be(202);
        claim(&api.store).await.succeed().await;
        let formation = api.get("/apps/shop/formation").await.must_be(200);
        let web = json!({"process": "web", "quantity": 1, "command": {"shell": "run web"}});
        assert!(formation["items"].as_array().unwrap().contains(&web), "{formation}");
        let scaled = api
            .patch("/apps/shop/formation", json!({"web": 3, "worker": 2}))
            .await
            .must_be(200);
        let quantities: Vec<_> = scaled["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["quantity"].clone())
            .collect();
        assert_eq!(quantities, [3, 2]);

        let scale = |body| api.patch("/apps/shop/formation", body);
        let unknown = scale(json!({"clock": 1, "web": 9})).await;
        assert_eq!(unknown.pointers(), ["/clock"]);
        assert!(unknown.problem(422)["detail"].as_str().unwrap().contains("web, worker"));
        assert_eq!(scale(json!({"release": 1})).await.pointers(), ["/release"]);
        assert_eq!(scale(json!({"web": 1001})).await.pointers(), ["/web"]);
        assert_eq!(scale(json!({"web": -1})).await.pointers(), ["/web"]);
        assert_eq!(scale(json!({"We b": 1})).await.pointers(), ["/We b"]);
        assert_eq!(api.get("/apps/shop/formation").await.must_be(200), scaled);

        assert_eq!(api.post("/apps/shop/restart", json!({})).await.must_be(202), scaled);
        api.post("/apps/shop/restart", json!({"process": "worker"}))
            .await
            .must_be(202);
        assert_eq!(
            api.post("/apps/shop/restart", json!({"process": "clock"}))
                .await
                .pointers(),
            ["/process"]
        );
    })
    .await;
}

#[tokio::test]
async fn instances_are_listed_with_their_state_and_address() {
    with_api(|api| async move {
        api.post("/apps", json!({"name": "shop", "repo_url": "https://github.com/a/b"}))
            .await
            .must_be(201);
        api.post("/apps/shop/deployments", json!({})).await.must_be(202);
        let release = claim(&api.store).await.succeed().await;
        assert_eq!(api.get("/apps/shop/instances").await.must_be(200)["items"], json!([]));
        let id = start(&api.store, &release, "web").await.id;
        api.store
            .set_instance_container(id, "c0ffee", Some("10.0.0.2:8080".parse().unwrap()))
            .await
            .unwrap();
        api.store
            .set_instance_state(
                keep(&api.store, release.app).await,
                id,
                InstanceState::Healthy,
                InstanceEnd::default(),
            )
            .await
            .unwrap();
        let listed = api.get("/apps/shop/instances").await.must_be(200);
        let instance = &listed["items"][0];
        assert_eq!(
            (&instance["name"], &instance["release"]),
            (&json!("web.1"), &json!("v1"))
        );
        assert_eq!(
            (&instance["state"], &instance["health"]),
            (&json!("healthy"), &json!("passing"))
        );
        assert_eq!(
            (&instance["address"], &instance["container"]),
            (&json!("10.0.0.2:8080"), &json!("c0ffee"))
        );

        // What was stopped is history.
        let keeper = keep(&api.store, release.app).await;
        let stopped = InstanceState::Stopped;
        let end = InstanceEnd::default();
        let ended = api.store.set_instance_state(keeper, id, stopped, end);
        assert!(ended.await.unwrap());
        let names = async |query: &str| {
            let listed = api.get(&format!("/apps/shop/instances{query}")).await.must_be(200);
            listed["items"].as_array().unwrap().len()
        };
        assert_eq!(
            (names("").await, names("?all=false").await, names("?all=true").await),
            (0, 0, 1)
        );
        assert_eq!(api.get("/apps/shop/instances?all=maybe").await.pointers(), ["all"]);
    })
    .await;
}
