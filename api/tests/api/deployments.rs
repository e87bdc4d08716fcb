use serde_json::json;
use windlass_domain::{DeploymentKind, Failure, FailureCode, ReleaseVersion, Step};
use windlass_store::{NewDeployment, Trigger};

use crate::{support::with_api, worker::claim};

#[tokio::test]
async fn a_ref_of_the_repository_is_deployed_and_its_steps_are_shown() {
    with_api(|api| async move {
        let app = json!({"name": "shop", "repo_url": "https://github.com/a/b", "branch": "live"});
        api.post("/apps", app).await.must_be(201);
        let begun = api.post("/apps/shop/deployments", json!({"ref": "v1.2"})).await;
        let deployment = begun.must_be(202);
        let id = deployment["id"].as_str().unwrap();
        assert!(begun.header("location").ends_with(&format!("/api/v1/apps/shop/deployments/{id}")));
        assert_eq!((&deployment["status"], &deployment["trigger"]), (&json!("pending"), &json!("api")));
        assert_eq!(deployment["kind"], json!({"type": "fetch", "reference": "v1.2", "commit": null}));
        assert_eq!(deployment.get("steps"), None);

        let work = claim(&api.store).await;
        assert!(api.store.enter_step(work.claim.deployment.id, work.claim.attempt, Step::Build).await.unwrap());
        let failure = Failure::new(FailureCode::BuildFailed, "The build failed.", "fix it").with_evidence(["exit 1".to_owned()]);
        work.fail(failure).await;
        let failed = api.get(&format!("/apps/shop/deployments/{id}")).await.must_be(200);
        assert_eq!((&failed["status"], &failed["steps"][0]["step"]), (&json!("failed"), &json!("build")));
        let failure = json!({"code": "build_failed", "reason": "The build failed.", "evidence": ["exit 1"], "next_step": "fix it"});
        assert_eq!(failed["failure"], failure);

        let by_default = api.post("/apps/shop/deployments", json!({})).await.must_be(202);
        assert_eq!(by_default["reference"], "live");
        let listed = api.get("/apps/shop/deployments").await.must_be(200);
        assert_eq!(listed["items"][0]["id"], by_default["id"]);
        assert_eq!(listed["items"][1]["id"], id);
    })
    .await;
}

#[tokio::test]
async fn a_deployment_without_a_body_is_the_branch() {
    with_api(|api| async move {
        api.post("/apps", json!({"name": "shop", "repo_url": "https://github.com/a/b"}))
            .await
            .must_be(201);
        let request = api
            .request("POST", "/apps/shop/deployments")
            .body(axum::body::Body::empty())
            .unwrap();
        assert_eq!(api.send(request).await.must_be(202)["reference"], "main");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_deployed_is_refused_with_the_next_step() {
    with_api(|api| async move {
        api.app("shop").await;
        let deploy = |body| api.post("/apps/shop/deployments", body);
        let nothing = deploy(json!({})).await;
        assert_eq!(nothing.pointers(), ["/ref"]);
        assert!(
            nothing.problem(422)["next_step"]
                .as_str()
                .unwrap()
                .contains("git push windlass HEAD:main")
        );
        assert_eq!(deploy(json!({"commit": "1".repeat(40)})).await.pointers(), ["/commit"]);
        assert_eq!(deploy(json!({"commit": "main"})).await.pointers(), ["/commit"]);
        assert_eq!(
            deploy(json!({"ref": "main", "commit": "1".repeat(40)}))
                .await
                .pointers(),
            ["/commit"]
        );
        for hostile in ["--upload-pack=x", "-h", "a;id\n", "a b", ""] {
            assert_eq!(deploy(json!({"ref": hostile})).await.pointers(), ["/ref"], "{hostile}");
        }
        assert_eq!(api.get("/apps/shop/deployments").await.must_be(200)["items"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_deployment_is_cancelled_once() {
    with_api(|api| async move {
        api.post("/apps", json!({"name": "shop", "repo_url": "https://github.com/a/b"}))
            .await
            .must_be(201);
        let deployment = api.post("/apps/shop/deployments", json!({})).await.must_be(202);
        let path = format!("/apps/shop/deployments/{}", deployment["id"].as_str().unwrap());
        let cancel = format!("{path}/cancel");
        assert_eq!(api.post(&cancel, json!({})).await.must_be(202)["status"], "cancelled");
        assert_eq!(
            api.post(&cancel, json!({})).await.problem(409)["code"],
            "deployment_over"
        );

        let running = api.post("/apps/shop/deployments", json!({})).await.must_be(202);
        let _work = claim(&api.store).await;
        let cancel = format!("/apps/shop/deployments/{}/cancel", running["id"].as_str().unwrap());
        let asked = api.post(&cancel, json!({})).await.must_be(202);
        assert_eq!(
            (&asked["status"], &asked["cancel_requested"]),
            (&json!("running"), &json!(true))
        );
        api.post("/apps/shop/deployments/dpl_nonsense/cancel", json!({}))
            .await
            .problem(404);
        api.app("other").await;
        api.get(&path.replace("/shop/", "/other/")).await.problem(404);
    })
    .await;
}

#[tokio::test]
async fn cancelling_what_is_over_says_how_it_ended() {
    with_api(|api| async move {
        api.post("/apps", json!({"name": "shop", "repo_url": "https://github.com/a/b"}))
            .await
            .must_be(201);
        let deploy = || async {
            let begun = api.post("/apps/shop/deployments", json!({})).await.must_be(202);
            begun["id"].as_str().unwrap().to_owned()
        };
        let refused = |id: String| {
            let api = api.clone();
            async move {
                let cancel = api
                    .post(&format!("/apps/shop/deployments/{id}/cancel"), json!({}))
                    .await;
                let problem = cancel.problem(409);
                assert_eq!(problem["code"], "deployment_over");
                format!(
                    "{} Next: {}",
                    problem["detail"].as_str().unwrap(),
                    problem["next_step"].as_str().unwrap()
                )
            }
        };
        let succeeded = deploy().await;
        claim(&api.store).await.succeed().await;
        let said = refused(succeeded).await;
        assert!(
            said.contains("it succeeded") && said.contains("windlass rollback -a shop"),
            "{said}"
        );

        let failed = deploy().await;
        let failure = Failure::new(FailureCode::Exited, "it ended", "look");
        claim(&api.store).await.fail(failure).await;
        let said = refused(failed.clone()).await;
        assert!(
            said.contains("it is failed already") && said.contains(&format!("info {failed}")),
            "{said}"
        );

        let (older, newer) = (deploy().await, deploy().await);
        let work = claim(&api.store).await;
        assert_eq!(work.claim.deployment.id.to_string(), newer);
        let shown = api.get(&format!("/apps/shop/deployments/{older}")).await.must_be(200);
        assert_eq!(
            (&shown["status"], &shown["superseded_by"]),
            (&json!("superseded"), &json!(newer))
        );
        let said = refused(older).await;
        assert!(said.contains(&format!("superseded by {newer}")), "{said}");
    })
    .await;
}

#[tokio::test]
async fn a_rollback_by_itself_says_that_and_why() {
    with_api(|api| async move {
        api.post("/apps", json!({"name": "shop", "repo_url": "https://github.com/a/b"}))
            .await
            .must_be(201);
        for _ in 0..2 {
            api.post("/apps/shop/deployments", json!({})).await.must_be(202);
            claim(&api.store).await.succeed().await;
        }
        let app = api
            .store
            .app(api.team, &"shop".parse().unwrap())
            .await
            .unwrap()
            .unwrap();
        let new = NewDeployment {
            kind: DeploymentKind::Rollback { to: ReleaseVersion(1) },
            trigger: Trigger::Watch,
            reference: Some("v1".to_owned()),
            commit: None,
            message: Some("v2 ended 3 times within 60 s of going live".to_owned()),
            by: None,
        };
        api.store
            .create_deployment(api.team, app.id, new)
            .await
            .unwrap()
            .unwrap();
        let listed = api.get("/apps/shop/deployments").await.must_be(200);
        let newest = &listed["items"][0];
        assert_eq!(
            (&newest["trigger"], &newest["message"]),
            (&json!("watch"), &json!("v2 ended 3 times within 60 s of going live"))
        );
    })
    .await;
}

#[tokio::test]
async fn one_can_go_back_to_an_earlier_release() {
    with_api(|api| async move {
        api.post("/apps", json!({"name": "shop", "repo_url": "https://github.com/a/b"}))
            .await
            .must_be(201);
        let back = |body| api.post("/apps/shop/rollback", body);
        assert_eq!(back(json!({})).await.problem(409)["code"], "nothing_live");
        api.post("/apps/shop/deployments", json!({})).await.must_be(202);
        claim(&api.store).await.succeed().await;
        assert_eq!(back(json!({})).await.problem(409)["code"], "nothing_before");
        assert_eq!(back(json!({"to": "v1"})).await.problem(409)["code"], "already_live");
        assert_eq!(back(json!({"to": "v9"})).await.pointers(), ["/to"]);
        assert_eq!(back(json!({"to": "latest"})).await.pointers(), ["/to"]);
        api.post("/apps/shop/deployments", json!({})).await.must_be(202);
        claim(&api.store).await.succeed().await;
        let rollback = back(json!({})).await.must_be(202);
        assert_eq!(
            (&rollback["trigger"], &rollback["kind"]["to"]),
            (&json!("rollback"), &json!("v1"))
        );

        let releases = api.get("/apps/shop/releases").await.must_be(200);
        let versions: Vec<_> = releases["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|release| release["version"].clone())
            .collect();
        assert_eq!(versions, ["v2", "v1"]);
        assert_eq!(releases["items"][0]["live"], true);
        let first = api.get("/apps/shop/releases/v1").await.must_be(200);
        assert_eq!(
            first["processes"][0],
            json!({"process": "web", "command": {"shell": "run web"}})
        );
        api.get("/apps/shop/releases/v3").await.problem(404);
        api.get("/apps/shop/releases/x").await.problem(404);
    })
    .await;
}
