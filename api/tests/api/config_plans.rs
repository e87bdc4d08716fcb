//! Looking ahead at a change of the config vars.

use serde_json::{Value, json};

use crate::{
    support::{Api, with_api},
    worker::claim,
};

const CONFIG: &str = "/apps/shop/config";
const PLAN: &str = "/apps/shop/config?dry_run=true";

/// All that a change of the config vars could touch.
async fn touched(api: &Api) -> Vec<Value> {
    let mut seen = Vec::new();
    for path in ["/config", "/deployments", "/releases"] {
        seen.push(api.get(&format!("/apps/shop{path}")).await.must_be(200));
    }
    seen
}

#[tokio::test]
async fn a_planned_change_names_its_vars_and_their_deployment_and_changes_nothing() {
    with_api(|api| async move {
        let app = json!({"name": "shop", "repo_url": "https://github.com/a/b", "strategy": "recreate"});
        api.post("/apps", app).await.must_be(201);
        let vars = json!({"KEPT": "1", "GONE": "1", "TURNED": "hunter2"});
        api.patch(CONFIG, vars).await.must_be(200);
        api.post("/apps/shop/deployments", json!({})).await.must_be(202);
        claim(&api.store).await.succeed().await;
        let before = touched(&api).await;

        let changes = json!({"KEPT": "1", "GONE": null, "TURNED": "hunter3", "NEW": "hunter4", "NEVER": null});
        let answer = api.patch(PLAN, changes).await;

        let plan = answer.must_be(200);
        let names = json!({"added": ["NEW"], "changed": ["TURNED"], "removed": ["GONE"]});
        assert_eq!(
            (&plan["app"], &plan["changed"], &plan["config"]),
            (&json!("shop"), &json!(true), &names)
        );
        let deployment = &plan["deployment"];
        assert_eq!(deployment["kind"], json!({"type": "config"}));
        assert_eq!(
            (&deployment["live"], &deployment["release"]),
            (&json!("v1"), &json!("v2"))
        );
        assert_eq!(
            (&deployment["image"]["action"], &deployment["config"]),
            (&json!("reuse"), &names)
        );
        assert_eq!(
            deployment["processes_assumed"], false,
            "the image is the one that is live"
        );
        assert_eq!(deployment["downtime"]["expected"], "yes");
        assert!(
            !answer.text.contains("hunter") && plan.get("vars").is_none(),
            "{}",
            answer.text
        );
        serde_json::from_value::<windlass_api_types::ConfigPlan>(plan).unwrap();
        assert_eq!(touched(&api).await, before);
    })
    .await;
}

#[tokio::test]
async fn a_planned_change_says_when_nothing_would_be_deployed() {
    with_api(|api| async move {
        api.app("shop").await;
        let plan = api.patch(PLAN, json!({"NEW": "1"})).await.must_be(200);
        assert_eq!(
            (&plan["changed"], &plan["deployment"]),
            (&json!(true), &Value::Null),
            "nothing is live"
        );
        let plan = api.patch(PLAN, json!({"NEVER": null})).await.must_be(200);
        assert_eq!((&plan["changed"], &plan["deployment"]), (&json!(false), &Value::Null));
        assert_eq!(api.get(CONFIG).await.must_be(200), json!({"version": 0, "vars": {}}));
    })
    .await;
}

#[tokio::test]
async fn a_planned_change_is_deployed_after_a_deployment_that_runs() {
    with_api(|api| async move {
        let app = json!({"name": "shop", "repo_url": "https://github.com/a/b"});
        api.post("/apps", app).await.must_be(201);
        api.post("/apps/shop/deployments", json!({})).await.must_be(202);
        let running = claim(&api.store).await;

        let plan = api.patch(PLAN, json!({"NEW": "1"})).await.must_be(200);

        let warning = plan["deployment"]["warnings"][0].as_str().unwrap();
        assert!(warning.contains("is running"), "{warning}");
        assert_eq!(plan["deployment"]["live"], Value::Null);
        let made = api.patch(CONFIG, json!({"NEW": "1"})).await.must_be(200);
        assert_eq!(made["deployment"]["kind"], json!({"type": "config"}));
        running.succeed().await;
    })
    .await;
}

#[tokio::test]
async fn a_planned_change_is_refused_as_the_change_would_be() {
    with_api(|api| async move {
        api.app("shop").await;
        for body in [
            json!({"1A": "x"}),
            json!({"A": "\u{0}"}),
            json!({"A": "x".repeat(70_000)}),
        ] {
            let real = api.patch(CONFIG, body.clone()).await;
            let plan = api.patch(PLAN, body).await;
            assert!(!real.pointers().is_empty());
            assert_eq!(plan.pointers(), real.pointers());
        }
        let unclear = api.patch("/apps/shop/config?dry_run=maybe", json!({})).await;
        assert_eq!(unclear.pointers(), ["dry_run"]);
    })
    .await;
}
