//! The end of an app: nothing of it is left, and its name is free again.

use windlass_testkit::{Engine, files};

#[tokio::test]
async fn nothing_is_left_of_a_destroyed_app() {
    let engine = Engine::start().await;
    let shop = engine
        .app_with(serde_json::json!({ "name": "shop", "drain_seconds": 2 }))
        .await;
    shop.push(&files::saying("one")).await.must_succeed();
    shop.push(&files::saying("two")).await.must_succeed();
    shop.scale(serde_json::json!({ "web": 2 })).await;

    shop.destroy().await;

    engine.assert_clean();
    assert_eq!(shop.get("/").await.status, 404);
    let again = engine.app("shop").await;
    again.push(&files::saying("three")).await.must_succeed();
    again.must_say("three").await;
    again.destroy().await;
    engine.assert_clean();
}

#[tokio::test]
async fn an_app_may_be_destroyed_while_it_is_built() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    let slow = files::Files::new().with("Dockerfile", files::dockerfile("RUN echo be\"\"gun; sleep 300\n"));
    shop.push_with(&slow, &["no-deploy"]).await.must_succeed();
    let commit = shop.repo.git(&["rev-parse", "HEAD"]).await.must_succeed();
    let started = shop.deploy(serde_json::json!({ "commit": commit })).await;
    windlass_testkit::wait_until("the build runs", std::time::Duration::from_secs(60), || async {
        shop.deployment_log(&started).await.contains("begun")
    })
    .await;

    shop.destroy().await;

    engine.assert_clean();
}
