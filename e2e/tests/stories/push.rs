//! `git push`, and the app answers at its own subdomain.

use windlass_testkit::{Engine, files};

#[tokio::test]
async fn a_pushed_app_answers_at_its_subdomain() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    assert_eq!(
        shop.get("/").await.status,
        404,
        "nothing is there before the first push"
    );

    let output = shop.push(&files::saying("hello")).await.must_succeed();

    assert_eq!(shop.get("/").await.body, "hello\n");
    assert!(output.contains("remote: "), "{output}");
    assert!(
        output.contains(&format!("http://{}", shop.host())),
        "the push ends with the address:\n{output}"
    );
    let app = shop.show().await;
    assert_eq!(
        (app["status"].as_str(), app["release"].as_str()),
        (Some("live"), Some("v1"))
    );
    let deployment = shop.last_deployment().await;
    assert_eq!(deployment["status"], "succeeded");
    assert_eq!(
        deployment["commit"],
        shop.repo.git(&["rev-parse", "HEAD"]).await.must_succeed()
    );
}

#[tokio::test]
async fn nobody_is_turned_away_while_a_new_release_takes_over() {
    let engine = Engine::start().await;
    let shop = engine
        .app_with(serde_json::json!({ "name": "shop", "drain_seconds": 2 }))
        .await;
    shop.push(&files::saying("one")).await.must_succeed();

    let visitor = shop.visitor();
    shop.push(&files::saying("two")).await.must_succeed();
    shop.must_say("two").await;

    visitor.must_have_been_served().await;
}

#[tokio::test]
async fn a_branch_that_is_not_the_apps_is_kept_and_not_deployed() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    shop.repo.commit(&files::saying("draft")).await;

    let push = shop.repo.push(shop.git_url(), "HEAD:refs/heads/draft", &[]).await;

    push.must_succeed();
    assert!(shop.list("deployments").await.is_empty());
    let heads = shop.repo.git(&["ls-remote", shop.git_url()]).await.must_succeed();
    assert!(heads.contains("refs/heads/draft"), "{heads}");
}

#[tokio::test]
async fn a_push_with_no_deploy_can_be_deployed_later() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;

    shop.push_with(&files::saying("later"), &["no-deploy"])
        .await
        .must_succeed();
    assert!(shop.list("deployments").await.is_empty());

    let commit = shop.repo.git(&["rev-parse", "HEAD"]).await.must_succeed();
    let started = shop.deploy(serde_json::json!({ "commit": commit })).await;
    shop.succeeded(&started).await;
    shop.must_say("later").await;
}

#[tokio::test]
async fn a_wrong_token_cannot_push() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    let url = shop.git_url().replace(engine.api().token(), "wl_wrong");
    shop.repo.commit(&files::saying("hello")).await;

    let output = shop.repo.push(&url, "HEAD:refs/heads/main", &[]).await.must_fail();

    assert!(
        output.contains("Authentication failed") || output.contains("401"),
        "{output}"
    );
}

#[tokio::test]
async fn what_was_pushed_can_be_cloned() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    shop.push_with(&files::saying("hello"), &["no-deploy"])
        .await
        .must_succeed();

    let copy = windlass_testkit::GitRepo::new();
    copy.git(&["pull", "-q", shop.git_url(), "main"]).await.must_succeed();

    assert_eq!(
        std::fs::read_to_string(copy.path().join("www/index.html")).unwrap(),
        "hello\n"
    );
}
