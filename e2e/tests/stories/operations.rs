//! What the operator of an installation does.

use windlass_testkit::{Engine, EngineOptions, ThrowawayPostgres, files};

#[tokio::test]
async fn the_doctor_finds_a_healthy_installation_healthy() {
    let engine = Engine::start().await;
    let output = engine.windlassd(&["doctor"]).await;
    assert!(output.ok, "{}", output.text());
    let json: serde_json::Value = serde_json::from_str(&engine.windlassd(&["doctor", "--json"]).await.stdout).unwrap();
    let all = json.to_string().to_lowercase();
    for part in ["docker", "git", "postgres", "disk"] {
        assert!(all.contains(part), "no {part} in {json:#}");
    }
}

#[tokio::test]
async fn every_problem_of_a_configuration_is_told_at_once() {
    let engine = Engine::start().await;
    let file = engine.data_dir().join("bad.toml");
    std::fs::write(
        &file,
        "base_domian = \"x\"\n[worker]\nlease_seconds = \"soon\"\n[router]\nkind = \"nginx\"\n",
    )
    .unwrap();

    let output = engine
        .windlassd(&["config", "check", "--config", file.to_str().unwrap()])
        .await;

    assert_eq!(output.code, Some(1), "{}", output.text());
    for part in ["base_domian", "worker.lease_seconds", "router.kind"] {
        assert!(output.text().contains(part), "no {part} in:\n{}", output.text());
    }
}

#[tokio::test]
async fn the_configuration_in_effect_names_where_each_value_comes_from() {
    let engine = Engine::start().await;
    let text = engine.windlassd(&["config", "check"]).await.must_succeed();
    assert!(
        text.contains("base_domain") && text.contains("WINDLASS_NETWORK_POOL") && text.contains("default"),
        "{text}"
    );
}

#[tokio::test]
async fn a_second_engine_on_the_same_data_is_refused() {
    let engine = Engine::start().await;
    let second = engine.windlassd(&["run"]).await;
    assert!(!second.ok && !second.text().is_empty());
    assert!(engine.api().is_ready().await);
}

#[tokio::test]
async fn a_postgres_of_ones_own_serves_as_well() {
    let postgres = ThrowawayPostgres::start().await;
    let mut engine = Engine::start_with(EngineOptions::default().on(&postgres)).await;
    let shop = engine.app("shop").await;
    shop.push(&files::saying("hello")).await.must_succeed();

    engine.restart().await;

    shop.must_say("hello").await;
    assert!(
        !engine.data_dir().join("postgres").exists(),
        "no cluster is made beside it"
    );
    shop.destroy().await;
    engine.assert_clean();
}
