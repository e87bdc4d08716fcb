use serde_json::json;
use windlass_api_types::ScaleOutcome;
use windlass_domain::InstanceState;
use windlass_store::InstanceEnd;

use crate::{
    support::{Api, with_api},
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

const SCALE: &str = "/apps/shop/formation";
const SCALE_PLAN: &str = "/apps/shop/formation?dry_run=true";

/// An app whose live release has `web` and `worker`.
async fn live(api: &Api) {
    let app = json!({"name": "shop", "repo_url": "https://github.com/a/b"});
    api.post("/apps", app).await.must_be(201);
    api.post("/apps/shop/deployments", json!({})).await.must_be(202);
    claim(&api.store).await.succeed().await;
}

#[tokio::test]
async fn a_planned_scale_tells_each_process_type_and_changes_nothing() {
    with_api(|api| async move {
        live(&api).await;
        let before = api.get(SCALE).await.must_be(200);
        let planned = async |body| api.patch(SCALE_PLAN, body).await.must_be(200);
        let row = |process: &str, from: u32, to: u32| json!({"process": process, "from": from, "to": to});

        let plan = planned(json!({"worker": 2})).await;
        let processes = json!([row("web", 1, 1), row("worker", 0, 2)]);
        assert_eq!(
            plan,
            json!({"app": "shop", "changed": true, "processes": processes, "warnings": []})
        );
        let outcome = serde_json::from_value::<ScaleOutcome>(plan).unwrap();
        assert!(matches!(outcome, ScaleOutcome::Planned(_)), "{outcome:?}");
        let none = planned(json!({"web": 0})).await;
        assert!(none["warnings"].to_string().contains("503"), "{none}");
        let same = planned(json!({"web": 1})).await;
        assert_eq!((&same["changed"], &same["warnings"]), (&json!(false), &json!([])));

        assert_eq!(api.get(SCALE).await.must_be(200), before);
    })
    .await;
}

#[tokio::test]
async fn a_planned_scale_before_the_first_release_says_that_nothing_is_live() {
    with_api(|api| async move {
        api.app("shop").await;
        let before = api.get(SCALE).await.must_be(200);
        let plan = api.patch(SCALE_PLAN, json!({"clock": 1})).await.must_be(200);
        assert_eq!(plan["processes"][0], json!({"process": "clock", "from": 0, "to": 1}));
        assert_eq!(plan["processes"][1], json!({"process": "web", "from": 1, "to": 1}));
        assert!(plan["warnings"].to_string().contains("nothing is live"), "{plan}");
        assert_eq!(api.get(SCALE).await.must_be(200), before);
    })
    .await;
}

#[tokio::test]
async fn a_planned_scale_is_refused_as_the_scale_would_be() {
    with_api(|api| async move {
        live(&api).await;
        for body in [
            json!({"clock": 1, "web": 9}),
            json!({"release": 1}),
            json!({"web": 1001}),
            json!({"web": -1}),
            json!({"We b": 1}),
        ] {
            let plan = api.patch(SCALE_PLAN, body.clone()).await;
            let real = api.patch(SCALE, body.clone()).await;
            assert_eq!(plan.pointers(), real.pointers(), "{body}");
            assert_eq!(plan.problem(422)["detail"], real.problem(422)["detail"], "{body}");
        }
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
