use serde_json::json;

use windlass_domain::{Failure, FailureCode, InstanceState};
use windlass_store::InstanceEnd;

use crate::{
    support::with_api,
    worker::{claim, keep, start},
};

#[tokio::test]
async fn an_app_is_made_listed_changed_and_deleted() {
    with_api(|api| async move {
        let made = api
            .post(
                "/apps",
                json!({"name": "shop", "port": 3000, "build": {"target": "web"}}),
            )
            .await;
        assert!(made.header("location").ends_with("/api/v1/apps/shop"));
        let app = made.must_be(201);
        assert_eq!(app["status"], "new");
        assert_eq!(app["url"], "http://shop.apps.example.com");
        assert_eq!(app["git_url"], format!("http://{}/git/shop.git", api.address));
        assert_eq!(
            (&app["port"], &app["branch"], &app["release"]),
            (&json!(3000), &json!("main"), &json!(null))
        );
        assert!(app["deploy_key"].as_str().unwrap().starts_with("ssh-ed25519 "));
        assert_eq!(api.get("/apps/shop").await.must_be(200), app);

        let changes = json!({"port": null, "health": {"path": "/up"}, "repo_url": "git@github.com:a/b.git"});
        let changed = api.patch("/apps/shop", changes).await.must_be(200);
        assert_eq!(changed["port"], json!(null));
        assert_eq!(changed["health"]["path"], "/up");
        assert_eq!(changed["repo_url"], "ssh://git@github.com/a/b.git");
        assert_eq!(changed["build"]["target"], "web");

        let deleting = api.delete("/apps/shop").await.must_be(202);
        assert_eq!(deleting["status"], "deleting");
        assert_eq!(api.get("/apps/shop").await.must_be(200)["status"], "deleting");
        assert_eq!(api.delete("/apps/shop").await.status, 202);
        assert_eq!(
            api.patch("/apps/shop", json!({})).await.problem(409)["code"],
            "app_deleting"
        );
        assert_eq!(
            api.post("/apps", json!({"name": "shop"})).await.problem(409)["code"],
            "name_taken"
        );
        let id = app["id"].as_str().unwrap().parse().unwrap();
        assert!(api.store.purge_app(id).await.unwrap());
        api.get("/apps/shop").await.problem(404);
        api.app("shop").await;
    })
    .await;
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    with_api(|api| async move {
        let wrong = json!({
            "name": "My_App", "repo_url": "ext::sh -c id", "branch": "--upload-pack=x",
            "build": {"dockerfile": "/etc/passwd"}, "limits": {"pids": 1}, "health": {"path": "no"}, "drain_seconds": 9999,
        });
        let mut pointers = api.post("/apps", wrong).await.pointers();
        pointers.sort();
        let expected = ["/branch", "/build/dockerfile", "/drain_seconds", "/health/path", "/limits/pids", "/name", "/repo_url"];
        assert_eq!(pointers, expected);
        for name in ["", "a.b", "-a", "a;id", "A", "windlass", &"a".repeat(51)] {
            assert_eq!(api.post("/apps", json!({"name": name})).await.pointers(), ["/name"], "{name}");
        }
        assert_eq!(api.get("/apps").await.must_be(200)["items"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn lists_come_in_pages() {
    with_api(|api| async move {
        for n in 1..=5 {
            api.app(&format!("app-{n}")).await;
        }
        let mut names = Vec::new();
        let mut path = "/apps?limit=2".to_owned();
        loop {
            let reply = api.get(&path).await;
            let page = reply.must_be(200);
            names.extend(
                page["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|app| app["name"].as_str().unwrap().to_owned()),
            );
            let Some(next) = page["next"].as_str() else {
                assert_eq!(reply.header("link"), "");
                break;
            };
            path = format!("/apps?limit=2&cursor={next}");
            assert_eq!(
                reply.header("link"),
                format!("<http://{}/api/v1{path}>; rel=\"next\"", api.address)
            );
        }
        assert_eq!(names, ["app-1", "app-2", "app-3", "app-4", "app-5"]);
        for (query, pointer) in [
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=x", "limit"),
            ("cursor=x", "cursor"),
        ] {
            assert_eq!(
                api.get(&format!("/apps?{query}")).await.pointers(),
                [pointer],
                "{query}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn an_apps_status_follows_its_deployments() {
    with_api(|api| async move {
        let status = || async { api.get("/apps/shop").await.must_be(200)["status"].clone() };
        api.post("/apps", json!({"name": "shop", "repo_url": "https://github.com/a/b"}))
            .await
            .must_be(201);
        assert_eq!(status().await, "new");
        api.post("/apps/shop/deployments", json!({})).await.must_be(202);
        assert_eq!(status().await, "deploying");
        claim(&api.store).await.succeed().await;
        assert_eq!(status().await, "live");
        let app = api.get("/apps/shop").await.must_be(200);
        assert_eq!((&app["strategy"], &app["crash_loops"]), (&json!("rolling"), &json!([])));
        let listed = api.get("/apps").await.must_be(200);
        assert_eq!(
            (&listed["items"][0]["status"], &listed["items"][0]["release"]),
            (&json!("live"), &json!("v1"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_first_deployment_that_failed_is_seen_in_the_app_and_in_its_release() {
    with_api(|api| async move {
        api.post("/apps", json!({"name": "shop", "repo_url": "https://github.com/a/b"}))
            .await
            .must_be(201);
        let status = || async { api.get("/apps/shop").await.must_be(200)["status"].clone() };
        let deploy = || async { api.post("/apps/shop/deployments", json!({})).await.must_be(202) };
        let failure = || Failure::new(FailureCode::Exited, "it ended", "look");
        deploy().await;
        claim(&api.store).await.fail_with_release(failure()).await;
        assert_eq!(status().await, "failed");
        assert_eq!(api.get("/apps").await.must_be(200)["items"][0]["status"], "failed");
        let releases = api.get("/apps/shop/releases").await.must_be(200);
        assert_eq!(
            (&releases["items"][0]["status"], &releases["items"][0]["live"]),
            (&json!("failed"), &json!(false))
        );

        deploy().await;
        assert_eq!(status().await, "deploying");
        claim(&api.store).await.succeed().await;
        deploy().await;
        claim(&api.store).await.fail(failure()).await;
        assert_eq!(status().await, "live", "what was live before still is");
        assert_eq!(
            api.get("/apps/shop/releases/v2").await.must_be(200)["status"],
            "succeeded"
        );
    })
    .await;
}

#[tokio::test]
async fn a_process_type_that_ends_again_and_again_is_seen_in_the_app() {
    with_api(|api| async move {
        api.post("/apps", json!({"name": "shop", "repo_url": "https://github.com/a/b"}))
            .await
            .must_be(201);
        api.post("/apps/shop/deployments", json!({})).await.must_be(202);
        let release = claim(&api.store).await.succeed().await;
        for _ in 0..3 {
            let instance = start(&api.store, &release, "web").await;
            let end = InstanceEnd {
                exit_code: Some(137),
                reason: Some("out of memory".to_owned()),
            };
            let keeper = keep(&api.store, release.app).await;
            let ended = api
                .store
                .set_instance_state(keeper, instance.id, InstanceState::Crashed, end);
            assert!(ended.await.unwrap());
        }
        let app = api.get("/apps/shop").await.must_be(200);
        assert_eq!(app["status"], "crash_looping");
        let told = &app["crash_loops"][0];
        assert_eq!(
            (&told["process"], &told["release"], &told["crashes"]),
            (&json!("web"), &json!("v1"), &json!(3))
        );
        assert_eq!(
            (&told["reason"], &told["exit_code"]),
            (&json!("out of memory"), &json!(137))
        );
    })
    .await;
}

#[tokio::test]
async fn checks_strategy_and_watch_are_set_and_shown() {
    with_api(|api| async move {
        let made = api
            .post(
                "/apps",
                json!({"name": "shop", "strategy": "recreate", "process_health": {"worker": {"port": 9000}}}),
            )
            .await
            .must_be(201);
        assert_eq!(
            (&made["strategy"], &made["process_health"]["worker"]["port"]),
            (&json!("recreate"), &json!(9000))
        );
        let changes = json!({
            "health": {"path": "/up", "status": "200-399,404", "interval_seconds": 0, "retries": 5},
            "process_health": {"worker": null}, "strategy": null, "watch": {"seconds": 0},
        });
        let changed = api.patch("/apps/shop", changes).await.must_be(200);
        let health = &changed["health"];
        assert_eq!(
            (&health["status"], &health["interval_seconds"], &health["retries"]),
            (&json!("200-399,404"), &json!(0), &json!(5))
        );
        assert_eq!(
            (&changed["process_health"], &changed["strategy"]),
            (&json!({}), &json!("rolling"))
        );
        assert_eq!(
            (&changed["watch"]["seconds"], &changed["watch"]["crashes"]),
            (&json!(0), &json!(2))
        );
        let wrong = json!({"strategy": "fast"});
        assert_eq!(api.patch("/apps/shop", wrong).await.pointers(), ["/strategy"]);
        let wrong = json!({"process_health": {"worker": {"port": 9000, "timeout_ms": 1}}});
        assert_eq!(
            api.patch("/apps/shop", wrong).await.pointers(),
            ["/process_health/worker/timeout_ms"]
        );
    })
    .await;
}
