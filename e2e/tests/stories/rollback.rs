//! Going back: a new release over an old image.

use serde_json::json;
use windlass_testkit::{Engine, files};

#[tokio::test]
async fn a_rollback_serves_the_old_image_as_a_new_release() {
    let engine = Engine::start().await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 1 })).await;
    shop.push(&files::saying("one")).await.must_succeed();
    shop.push(&files::saying("two")).await.must_succeed();
    let visitor = shop.visitor();

    let ended = shop.roll_back(None).await;

    assert_eq!(
        (ended["status"].as_str(), ended["release"].as_str()),
        (Some("succeeded"), Some("v3")),
        "{ended:#}"
    );
    shop.must_say("one").await;
    let releases = shop.list("releases").await;
    assert_eq!(releases[0]["image"], releases[2]["image"]);
    assert_eq!(releases[0]["live"], true);
    visitor.must_have_been_served().await;
}

#[tokio::test]
async fn a_release_that_never_was_cannot_be_rolled_back_to() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    engine.api().post(&shop.path("/rollback"), json!({})).await.problem(409);
    shop.push(&files::saying("one")).await.must_succeed();

    let reply = engine.api().post(&shop.path("/rollback"), json!({ "to": "v9" })).await;

    assert!(matches!(reply.status, 404 | 409 | 422), "{reply:?}");
    assert!(reply.body.to_string().contains("v9"), "{reply:?}");
}
