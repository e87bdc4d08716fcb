use serde_json::json;

use crate::{support::with_api, worker::claim};

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
        let listed = api.get("/apps").await.must_be(200);
        assert_eq!(
            (&listed["items"][0]["status"], &listed["items"][0]["release"]),
            (&json!("live"), &json!("v1"))
        );
    })
    .await;
}
