//! A real Traefik serves the same apps from the labels of their containers.

use std::time::Duration;

use serde_json::json;
use windlass_testkit::{Engine, EngineOptions, Traefik, files, get, wait_until};

#[tokio::test]
async fn a_real_traefik_routes_the_same_app() {
    let engine = Engine::start_with(EngineOptions::default().with("WINDLASS_ROUTER", "traefik")).await;
    let traefik = Traefik::start(engine.spare_port(), engine.id(), &engine.data_dir().join("traefik.log")).await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 5 })).await;

    shop.push(&files::saying("one")).await.must_succeed();
    let says = |text: &'static str| {
        let (traefik, host) = (traefik.address(), shop.host());
        async move { get(&traefik, &host, "/").await.body.trim_end() == text }
    };
    wait_until("Traefik serves the first release", Duration::from_secs(30), || {
        says("one")
    })
    .await;

    shop.push(&files::saying("two")).await.must_succeed();
    wait_until("Traefik serves the second release", Duration::from_secs(30), || {
        says("two")
    })
    .await;
    assert_eq!(get(&traefik.address(), "other.localhost", "/").await.status, 404);
}
