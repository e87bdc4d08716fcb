//! Looking ahead: what would change, and that nothing did.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    support::{Api, with_api},
    worker::{claim, keep, start},
};

const PLAN: &str = "/apps/shop/deployments?dry_run=true";

/// An app with a live release.
async fn live(api: &Api, settings: Value) {
    let mut app = json!({"name": "shop", "repo_url": "https://github.com/a/b"});
    app.as_object_mut()
        .unwrap()
        .extend(settings.as_object().unwrap().clone());
    api.post("/apps", app).await.must_be(201);
    api.patch(
        "/apps/shop/config",
        json!({"KEPT": "1", "GONE": "1", "TURNED": "hunter2"}),
    )
    .await
    .must_be(200);
    api.post("/apps/shop/deployments", json!({})).await.must_be(202);
    claim(&api.store).await.succeed().await;
}

/// All that can be read of the app.
async fn everything(api: &Api) -> BTreeMap<&'static str, Value> {
    let mut seen = BTreeMap::new();
    for path in ["", "/deployments", "/releases", "/config", "/formation", "/instances"] {
        seen.insert(path, api.get(&format!("/apps/shop{path}")).await.must_be(200));
    }
    seen
}

#[tokio::test]
async fn a_plan_tells_what_would_change_and_changes_nothing() {
    with_api(|api| async move {
        live(&api, json!({"port": 3000})).await;
        let patched = json!({"GONE": null, "NEW": "1", "TURNED": "hunter3"});
        let config = api.patch("/apps/shop/config", patched).await.must_be(200);
        let id = config["deployment"]["id"].as_str().unwrap();
        api.post(&format!("/apps/shop/deployments/{id}/cancel"), json!({}))
            .await
            .must_be(202);
        api.patch("/apps/shop", json!({"health": {"path": "/up"}, "port": null}))
            .await
            .must_be(200);
        api.patch("/apps/shop/formation", json!({"web": 4, "worker": 1}))
            .await
            .must_be(200);
        let before = everything(&api).await;

        let answer = api.post(PLAN, json!({"ref": "v1.2"})).await;

        let plan = answer.must_be(200);
        assert_eq!((&plan["release"], &plan["live"]), (&json!("v2"), &json!("v1")));
        assert_eq!(
            plan["image"],
            json!({"action": "build", "commit": null, "reference": "v1.2"})
        );
        assert_eq!(
            plan["config"],
            json!({"added": ["NEW"], "changed": ["TURNED"], "removed": ["GONE"]})
        );
        assert!(!answer.text.contains("hunter"), "{}", answer.text);
        let setting = |field: &str, from: Value, to: Value| json!({"field": field, "from": from, "to": to});
        assert_eq!(
            plan["settings"],
            json!([
                setting("/health/path", Value::Null, json!("/up")),
                setting("/port", json!(3000), json!(8080))
            ])
        );
        let web = json!({"process": "web", "change": "unchanged", "start": 4, "stop": 4, "at_most": 5});
        assert_eq!(
            (&plan["processes"][0], &plan["processes_assumed"]),
            (&web, &json!(true))
        );
        assert_eq!(
            plan["routes"][0],
            json!({"host": "shop.apps.example.com", "path": "/", "process": "web", "change": "unchanged"})
        );
        assert_eq!(plan["downtime"]["expected"], "none");
        assert_eq!(plan["warnings"], json!([]));
        assert_eq!(everything(&api).await, before);
    })
    .await;
}

#[tokio::test]
async fn a_plan_is_refused_as_the_deployment_would_be() {
    with_api(|api| async move {
        api.app("shop").await;
        for body in [
            json!({}),
            json!({"ref": "--x"}),
            json!({"commit": "main"}),
            json!({"commit": "1".repeat(40)}),
            json!({"ref": "main", "commit": "1".repeat(40)}),
        ] {
            let real = api.post("/apps/shop/deployments", body.clone()).await;
            let plan = api.post(PLAN, body.clone()).await;
            assert_eq!(plan.pointers(), real.pointers(), "{body}");
        }
        assert_eq!(
            api.post("/apps/shop/deployments?dry_run=maybe", json!({}))
                .await
                .pointers(),
            ["dry_run"]
        );
        let back = api.post("/apps/shop/rollback?dry_run=true", json!({})).await;
        assert_eq!(back.problem(409)["code"], "nothing_live");
        let unpushed = api
            .post(&format!("{PLAN}&unpushed=true"), json!({"commit": "1".repeat(40)}))
            .await
            .must_be(200);
        assert_eq!(
            (&unpushed["image"]["commit"], &unpushed["release"]),
            (&json!("1".repeat(40)), &json!("v1"))
        );
        assert_eq!(unpushed["processes"][0]["change"], "added");
        assert_eq!(api.get("/apps/shop/deployments").await.must_be(200)["items"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_plan_of_a_rollback_reuses_an_image_and_its_config() {
    with_api(|api| async move {
        live(&api, json!({})).await;
        api.patch("/apps/shop/config", json!({"NEW": "1"})).await.must_be(200);
        claim(&api.store).await.succeed().await;
        let before = everything(&api).await;
        let plan = api
            .post("/apps/shop/rollback?dry_run=true", json!({"to": "v1"}))
            .await
            .must_be(200);
        assert_eq!(plan["kind"], json!({"type": "rollback", "to": "v1"}));
        assert_eq!(
            (&plan["image"]["action"], &plan["image"]["release"]),
            (&json!("reuse"), &json!("v1"))
        );
        assert_eq!(
            (&plan["release"], &plan["config"]["removed"]),
            (&json!("v3"), &json!(["NEW"]))
        );
        assert_eq!(plan["processes_assumed"], false);
        let refused = api.post("/apps/shop/rollback?dry_run=true", json!({"to": "v2"})).await;
        assert_eq!(refused.problem(409)["code"], "already_live");
        assert_eq!(everything(&api).await, before);
    })
    .await;
}

#[tokio::test]
async fn a_downtime_is_told_in_the_plan_and_before_the_deployment_begins() {
    with_api(|api| async move {
        live(&api, json!({"strategy": "recreate"})).await;
        let release = api
            .store
            .release(api.team, app_id(&api).await, windlass_domain::ReleaseVersion(1))
            .await;
        let release = release.unwrap().unwrap();
        let instance = start(&api.store, &release, "web").await;
        let keeper = keep(&api.store, release.app).await;
        let healthy = windlass_domain::InstanceState::Healthy;
        assert!(
            api.store
                .set_instance_state(keeper, instance.id, healthy, Default::default())
                .await
                .unwrap()
        );

        let plan = api.post(PLAN, json!({})).await.must_be(200);
        let downtime = &plan["downtime"];
        assert_eq!(
            (&downtime["expected"], &downtime["seconds"]),
            (&json!("yes"), &json!(1))
        );
        assert_eq!(downtime["last_starts_ms"].as_array().unwrap().len(), 1);

        let begun = api.post("/apps/shop/deployments", json!({})).await.must_be(202);
        assert_eq!(begun["warnings"], json!([downtime["reason"]]));
        let shown = api
            .get(&format!("/apps/shop/deployments/{}", begun["id"].as_str().unwrap()))
            .await;
        assert_eq!(shown.must_be(200).get("warnings"), None);
        let waiting = api.post(PLAN, json!({})).await.must_be(200);
        assert!(
            waiting["warnings"][0].as_str().unwrap().contains("is pending"),
            "{waiting}"
        );

        api.patch("/apps/shop", json!({"strategy": null})).await.must_be(200);
        let begun = api.post("/apps/shop/deployments", json!({})).await.must_be(202);
        assert_eq!(begun.get("warnings"), None);
        let back = api.patch("/apps/shop/config", json!({"A": "1"})).await.must_be(200);
        assert_eq!(back["deployment"].get("warnings"), None);
    })
    .await;
}

#[tokio::test]
async fn a_mistyped_dry_run_does_nothing_and_is_refused_by_name() {
    with_api(|api| async move {
        live(&api, json!({})).await;
        let before = everything(&api).await;
        let post = async |path: &str| api.post(&format!("/apps/shop{path}"), json!({})).await;
        let patch = async |path: &str, body| api.patch(&format!("/apps/shop{path}"), body).await;
        for refused in [
            post("/deployments?dry-run=true").await,
            post("/rollback?dry-run=true").await,
            patch("/config?dry-run=true", json!({"NEW": "1"})).await,
            patch("/formation?dry-run=true", json!({"web": 2})).await,
        ] {
            assert_eq!(refused.pointers(), ["dry-run"]);
            let problem = refused.problem(422);
            assert!(problem["detail"].as_str().unwrap().contains("`dry_run`"), "{problem}");
        }
        assert_eq!(everything(&api).await, before);
    })
    .await;
}

#[tokio::test]
async fn a_parameter_that_an_address_does_not_take_is_refused_by_name() {
    with_api(|api| async move {
        live(&api, json!({})).await;
        let deployments = api.get("/apps/shop/deployments").await.must_be(200);
        let log = format!("/deployments/{}/log", deployments["items"][0]["id"].as_str().unwrap());
        for path in ["/deployments", "/releases", "/instances", "/logs", &log] {
            let refused = api.get(&format!("/apps/shop{path}?lmit=1")).await;
            assert_eq!(refused.pointers(), ["lmit"], "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_deployment_that_runs_is_told_of_behind_a_newer_one_that_is_over() {
    with_api(|api| async move {
        live(&api, json!({})).await;
        api.post("/apps/shop/deployments", json!({})).await.must_be(202);
        let running = claim(&api.store).await;
        let newer = api.post("/apps/shop/deployments", json!({})).await.must_be(202);
        let cancel = format!("/apps/shop/deployments/{}/cancel", newer["id"].as_str().unwrap());
        let cancelled = api.post(&cancel, json!({})).await.must_be(202);
        assert_eq!(cancelled["status"], "cancelled");

        let plan = api.post(PLAN, json!({})).await.must_be(200);

        let warning = format!("{} is running", running.claim.deployment.id);
        assert!(plan["warnings"].to_string().contains(&warning), "{plan}");
    })
    .await;
}

async fn app_id(api: &Api) -> windlass_domain::AppId {
    let app = api.store.app(api.team, &"shop".parse().unwrap()).await;
    app.unwrap().unwrap().id
}
