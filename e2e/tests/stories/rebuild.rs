//! An image that is gone comes back by itself, and the app with it.

use std::time::Duration;

use serde_json::json;
use windlass_testkit::{Engine, docker, files, wait_until};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_app_whose_image_and_container_were_removed_by_hand_serves_again_by_itself() {
    let engine = Engine::start().await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 1 })).await;
    shop.push(&files::saying("hello")).await.must_succeed();
    shop.must_say("hello").await;
    let image = engine.ask_database("select reference from images").await;

    docker::docker(&["rmi", "-f", &image]);
    docker::docker(&["rm", "-f", &shop.containers()[0]]);

    wait_until("it is built again", LONG, || async {
        shop.show().await["release"] == "v2" && shop.last_deployment().await["status"] == "succeeded"
    })
    .await;
    shop.must_say("hello").await;
    let deployments = shop.list("deployments").await;
    assert_eq!(deployments.len(), 2, "it is asked for once: {deployments:#?}");
    let rebuild = &deployments[0];
    assert_eq!(rebuild["trigger"], "rebuild");
    let why = rebuild["message"].as_str().unwrap();
    assert!(why.contains("the image of v1 was removed"), "{why}");
    let log = shop.deployment_log(rebuild).await;
    assert!(log.contains(why) && log.contains("Rebuild of v1"), "{log}");
    let gone = shop.list("instances?all=true").await;
    assert!(
        gone.iter().any(|one| one["reason"]
            .as_str()
            .is_some_and(|why| why.contains("its image was removed"))),
        "{gone:#?}"
    );
    assert_eq!(
        shop.list("instances").await.len(),
        1,
        "what is over is not listed with what runs"
    );
    assert_eq!(shop.containers().len(), 1);
}
