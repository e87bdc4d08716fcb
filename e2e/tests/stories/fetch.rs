//! Apps whose source is fetched from a repository elsewhere.

use serde_json::json;
use windlass_testkit::{App, Engine, EngineOptions, GitRepo, GitServer, files};

/// An engine, a git server beside it, and an app that is fetched from it.
async fn fetched_app() -> (Engine, GitServer, GitRepo, App) {
    let engine = Engine::start_with(EngineOptions::default().allowing_local_repositories()).await;
    let server = GitServer::start(engine.spare_port()).await;
    let repo = GitRepo::new();
    let shop = engine
        .app_with(json!({ "name": "shop", "repo_url": server.url(), "drain_seconds": 1 }))
        .await;
    (engine, server, repo, shop)
}

#[tokio::test]
async fn a_branch_of_a_repository_is_deployed() {
    let (_engine, server, repo, shop) = fetched_app().await;
    let commit = repo.commit(&files::saying("one")).await;
    server.receive(&repo, "main").await;

    let started = shop.deploy(json!({})).await;
    let ended = shop.succeeded(&started).await;

    assert_eq!(ended["commit"], commit.as_str());
    shop.must_say("one").await;
    repo.commit(&files::saying("two")).await;
    server.receive(&repo, "feature/x").await;
    let started = shop.deploy(json!({ "ref": "feature/x" })).await;
    shop.succeeded(&started).await;
    shop.must_say("two").await;
}

#[tokio::test]
async fn an_unknown_branch_is_named() {
    let (_engine, server, repo, shop) = fetched_app().await;
    repo.commit(&files::saying("one")).await;
    server.receive(&repo, "main").await;

    let started = shop.deploy(json!({ "ref": "no-such-branch" })).await;
    let ended = shop.ended(&started).await;

    assert_eq!(ended["failure"]["code"], "ref_not_found", "{ended:#}");
    assert!(ended["failure"].to_string().contains("no-such-branch"), "{ended:#}");
}

#[tokio::test]
async fn a_missing_repository_is_said_to_be_missing() {
    let (engine, server, _repo, shop) = fetched_app().await;
    let missing = server.url().replace("shop.git", "nothing.git");
    engine
        .api()
        .patch(&shop.path(""), json!({ "repo_url": missing }))
        .await
        .must_be(200);

    let started = shop.deploy(json!({})).await;
    let ended = shop.ended(&started).await;

    assert_eq!(ended["failure"]["code"], "repository_unavailable", "{ended:#}");
}

#[tokio::test]
async fn a_repository_that_is_too_large_is_refused_with_its_size() {
    let options = EngineOptions::default().allowing_local_repositories();
    let engine = Engine::start_with(options.with("WINDLASS_MAX_REPOSITORY_BYTES", "1048576")).await;
    let server = GitServer::start(engine.spare_port()).await;
    let repo = GitRepo::new();
    // Numbers hashed one after the other do not compress away.
    let noise: String = (0_u64..300_000)
        .map(|n| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    repo.commit(&files::saying("hello").with("noise", noise)).await;
    server.receive(&repo, "main").await;
    let shop = engine
        .app_with(json!({ "name": "shop", "repo_url": server.url() }))
        .await;

    let started = shop.deploy(json!({})).await;
    let ended = shop.ended(&started).await;

    assert_eq!(ended["failure"]["code"], "repository_too_large", "{ended:#}");
}

#[tokio::test]
async fn a_repository_inside_the_host_is_refused() {
    let engine = Engine::start().await;
    let server = GitServer::start(engine.spare_port()).await;

    let reply = engine
        .api()
        .post("/api/v1/apps", json!({ "name": "shop", "repo_url": server.url() }))
        .await;

    if reply.status == 201 {
        let shop = engine
            .api()
            .post("/api/v1/apps/shop/deployments", json!({}))
            .await
            .must_be(202);
        let path = format!("/api/v1/apps/shop/deployments/{}", shop["id"].as_str().unwrap());
        let code = windlass_testkit::eventually("the deployment fails", std::time::Duration::from_secs(30), || async {
            let now = engine.api().get(&path).await.must_be(200);
            now["failure"]["code"].as_str().map(str::to_owned)
        })
        .await;
        assert_eq!(code, "repository_refused");
    } else {
        reply.problem(422);
    }
}

#[tokio::test]
async fn addresses_that_git_would_run_or_read_are_refused_at_the_door() {
    let engine = Engine::start().await;
    for url in ["file:///etc", "ext::sh -c id", "--upload-pack=id", "/srv/repo"] {
        let problem = engine
            .api()
            .post("/api/v1/apps", json!({ "name": "shop", "repo_url": url }))
            .await
            .problem(422);
        assert_eq!(problem["errors"][0]["pointer"], "/repo_url", "{problem:#}");
    }
}
