//! Apps that do not work. Each ends as a failed deployment with the reason, the evidence and the next step, and the old release
//! goes on serving.

use serde_json::{Value, json};
use windlass_testkit::{App, Engine, files, files::Files};

/// An app that serves "old", with little patience for what comes next.
async fn serving_app(engine: &Engine) -> App {
    let health = json!({ "deadline_seconds": 5 });
    let shop = engine
        .app_with(json!({ "name": "shop", "health": health, "drain_seconds": 1 }))
        .await;
    shop.push(&files::saying("old")).await.must_succeed();
    shop
}

/// Pushes what must fail, and gives the failure and what git printed.
async fn fails(shop: &App, files: &Files) -> (Value, String) {
    let output = shop.push(files).await.must_fail();
    assert_eq!(shop.get("/").await.body, "old\n", "the old release goes on serving");
    let deployment = shop.last_deployment().await;
    assert_eq!(deployment["status"], "failed", "{deployment:#}");
    let failure = deployment["failure"].clone();
    for part in ["reason", "next_step"] {
        let text = failure[part].as_str().unwrap_or_default();
        assert!(
            !text.is_empty() && output.contains(text),
            "the push says the {part} {text:?}:\n{output}"
        );
    }
    (failure, output)
}

/// The evidence as one text.
fn evidence(failure: &Value) -> String {
    let lines = failure["evidence"].as_array().expect("there is evidence");
    lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn an_app_that_exits_at_once() {
    let engine = Engine::start().await;
    let shop = serving_app(&engine).await;

    let (failure, _) = fails(&shop, &files::running("echo 'no such database'; exit 3")).await;

    assert_eq!(failure["code"], "exited");
    let all = failure.to_string();
    assert!(
        all.contains('3') && all.contains("no such database"),
        "exit code and last lines: {failure:#}"
    );
}

#[tokio::test]
async fn an_app_that_listens_on_another_port() {
    let engine = Engine::start().await;
    let shop = serving_app(&engine).await;

    let (failure, _) = fails(&shop, &files::running("exec httpd -f -p 3999 -h /app")).await;

    assert_eq!(failure["code"], "wrong_port");
    assert!(
        failure.to_string().contains("3999"),
        "the port that it did listen on: {failure:#}"
    );
}

#[tokio::test]
async fn an_app_that_listens_on_loopback_only() {
    let engine = Engine::start().await;
    let shop = serving_app(&engine).await;

    let (failure, _) = fails(&shop, &files::running("exec httpd -f -p 127.0.0.1:$PORT -h /app")).await;

    assert_eq!(failure["code"], "loopback_only");
    assert!(failure.to_string().contains("127.0.0.1"), "{failure:#}");
}

#[tokio::test]
async fn an_app_that_does_not_listen() {
    let engine = Engine::start().await;
    let shop = serving_app(&engine).await;

    let (failure, _) = fails(&shop, &files::running("echo 'thinking'; exec sleep 1000")).await;

    assert_eq!(failure["code"], "not_listening");
    assert!(evidence(&failure).contains("thinking"), "{failure:#}");
}

#[tokio::test]
async fn an_app_whose_health_check_never_passes() {
    let engine = Engine::start().await;
    let shop = serving_app(&engine).await;
    let health = json!({ "health": { "path": "/healthy", "deadline_seconds": 5 } });
    engine.api().patch(&shop.path(""), health).await.must_be(200);

    let (failure, _) = fails(&shop, &files::saying("new")).await;

    assert_eq!(failure["code"], "unhealthy");
    let all = failure.to_string();
    assert!(
        all.contains("/healthy") && all.contains("404"),
        "the path and the answer: {failure:#}"
    );
}

#[tokio::test]
async fn an_app_that_uses_too_much_memory() {
    let engine = Engine::start().await;
    let shop = serving_app(&engine).await;
    let limits = json!({ "limits": { "memory_bytes": 32 << 20 } });
    engine.api().patch(&shop.path(""), limits).await.must_be(200);

    let (failure, _) = fails(&shop, &files::running("x=x; while true; do x=$x$x$x$x; done")).await;

    assert_eq!(failure["code"], "out_of_memory", "{failure:#}");
}

#[tokio::test]
async fn a_dockerfile_that_does_not_parse() {
    let engine = Engine::start().await;
    let shop = serving_app(&engine).await;

    let (failure, _) = fails(
        &shop,
        &Files::new().with("Dockerfile", "FROM scratch\nFETCH everything\n"),
    )
    .await;

    assert_eq!(failure["code"], "invalid_build_file");
    assert!(failure.to_string().contains("FETCH"), "{failure:#}");
}

#[tokio::test]
async fn a_build_step_that_fails() {
    let engine = Engine::start().await;
    let shop = serving_app(&engine).await;
    let files = Files::new().with(
        "Dockerfile",
        files::dockerfile("RUN echo 'compiling'; echo 'type error' >&2; exit 7\n"),
    );

    let (failure, output) = fails(&shop, &files).await;

    assert_eq!(failure["code"], "build_failed");
    assert!(
        output.contains("compiling") && failure.to_string().contains("type error"),
        "{failure:#}\n{output}"
    );
    assert!(failure.to_string().contains('7'), "the exit code: {failure:#}");
}

#[tokio::test]
async fn nothing_that_could_be_built() {
    let engine = Engine::start().await;
    let shop = serving_app(&engine).await;

    let (failure, _) = fails(&shop, &Files::new().with("notes.txt", "hello\n")).await;

    assert_eq!(failure["code"], "no_builder");
    assert!(
        failure.to_string().contains("Dockerfile"),
        "what was looked for: {failure:#}"
    );
}

#[tokio::test]
async fn a_procfile_with_a_merge_conflict() {
    let engine = Engine::start().await;
    let shop = serving_app(&engine).await;

    let (failure, _) = fails(
        &shop,
        &files::saying("new").with("Procfile", "web: /app/serve\n<<<<<<< HEAD\n"),
    )
    .await;

    assert_eq!(failure["code"], "invalid_build_file");
    assert!(failure.to_string().contains('2'), "the line: {failure:#}");
}

#[tokio::test]
async fn a_release_command_that_fails() {
    let engine = Engine::start().await;
    let shop = serving_app(&engine).await;
    let files = files::saying("new").with("Procfile", "web: /app/serve\nrelease: echo 'no such table'; exit 9\n");

    let (failure, output) = fails(&shop, &files).await;

    assert_eq!(failure["code"], "release_failed");
    assert!(
        failure.to_string().contains('9') && output.contains("no such table"),
        "{failure:#}\n{output}"
    );
    let outcome = "select outcome from deployment_steps where step = 'release' order by started_at desc limit 1";
    assert_eq!(engine.ask_database(outcome).await, "failed");
}
