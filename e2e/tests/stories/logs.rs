//! The logs of an app and of its deployments, as they stand and live.

use std::time::Duration;

use reqwest::Method;
use tokio::time::timeout;
use windlass_testkit::{Engine, docker, files, wait_until};

/// Reads a live answer until it holds `text`.
async fn read_until(answer: &mut reqwest::Response, text: &str) -> String {
    let mut seen = String::new();
    let reading = async {
        while !seen.contains(text) {
            let chunk = answer
                .chunk()
                .await
                .unwrap()
                .unwrap_or_else(|| panic!("the stream ended after:\n{seen}"));
            seen.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    let read = timeout(Duration::from_secs(30), reading).await;
    assert!(read.is_ok(), "no {text:?} within 30 s");
    seen
}

#[tokio::test]
async fn a_tail_shows_requests_as_they_come() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    shop.push(&files::saying("hello")).await.must_succeed();

    let mut tail = shop.tail().await;
    read_until(&mut tail, "listening on ").await;
    shop.get("/cgi-bin/env").await;
    let seen = read_until(&mut tail, "/cgi-bin/env").await;

    assert!(seen.contains("web.1"), "a line names its instance: {seen}");
}

#[tokio::test]
async fn the_log_of_a_replaced_instance_can_still_be_read() {
    let engine = Engine::start().await;
    let shop = engine
        .app_with(serde_json::json!({ "name": "shop", "drain_seconds": 1 }))
        .await;
    shop.push(&files::saying("one").with_program("www/cgi-bin/first", "#!/bin/sh\necho\n"))
        .await
        .must_succeed();
    shop.get("/cgi-bin/first").await;
    let old = shop.containers();
    shop.push(&files::saying("two")).await.must_succeed();

    wait_until("the old instance is gone", Duration::from_secs(60), || async {
        shop.containers().iter().all(|id| !old.contains(id))
    })
    .await;

    let log = shop.logs().await;
    assert!(log.contains("/cgi-bin/first"), "{log}");
    let other = engine.api().get_text(&shop.path("/logs?process=worker")).await;
    assert!(!other.contains("/cgi-bin/first"), "{other}");
}

/// Prints numbers without end; when it is told so, it prints more in an instant than is kept, and ends with a word.
const COUNTING: &str = r#"
export COUNTER=$$
httpd -p "$PORT" -h /app/www
trap 'exit 0' TERM
trap 'seq 20000; echo "panic: out of cheese"; exit 3' USR1
n=0
while sleep 0.02; do n=$((n + 1)); echo "number $n."; done
"#;

#[tokio::test]
async fn a_log_is_whole_though_the_engine_was_killed_and_tells_why_an_instance_ended() {
    let mut engine = Engine::start().await;
    let shop = engine.app("shop").await;
    let counting = files::running(COUNTING)
        .with("www/index.html", "counting\n")
        .with_program("www/cgi-bin/end", "#!/bin/sh\nkill -USR1 $COUNTER\n");
    shop.push(&counting).await.must_succeed();
    let container = shop.containers().remove(0);
    let printed = || numbers(&docker::docker(&["logs", &container]).join("\n"));
    let path = shop.path("/logs?lines=5000");

    engine.kill9();
    let before = printed().len();
    wait_until("it prints without an engine", Duration::from_secs(30), || async {
        printed().len() > before + 20
    })
    .await;
    engine.restart().await;
    let after = printed().len();
    let api = engine.api();
    wait_until("the log has been read on", Duration::from_secs(30), || async {
        numbers(&api.get_text(&path).await).len() >= after
    })
    .await;
    let kept = numbers(&api.get_text(&path).await);
    assert_eq!(kept, (1..=kept.len()).collect::<Vec<_>>(), "each once");

    shop.get("/cgi-bin/end").await;
    wait_until("the end of the log can be read", Duration::from_secs(60), || async {
        api.get_text(&path).await.contains("panic: out of cheese")
    })
    .await;
    let log = api.get_text(&path).await;
    assert!(log.contains("lines were dropped"), "{log}");
}

/// An engine that ends while it takes an instance away leaves a container whose row says that it is gone.
#[tokio::test]
async fn what_an_engine_did_not_come_to_remove_is_asked_to_end_and_its_log_is_read_to_the_end() {
    let mut engine = Engine::start().await;
    let shop = engine.app("shop").await;
    let last_words = COUNTING.replace("trap 'exit 0' TERM", "trap 'echo so long; exit 0' TERM");
    let counting = files::running(&last_words).with("www/index.html", "counting\n");
    shop.push(&counting).await.must_succeed();
    for (signal, said) in [(None, "so long"), (Some("USR1"), "panic: out of cheese")] {
        let container = shop.containers().remove(0);
        engine.kill9();
        if let Some(signal) = signal {
            docker::docker(&["kill", "--signal", signal, &container]);
            docker::docker(&["wait", &container]);
        }
        let gone = "update instances set state = 'crashed', finished_at = now() where state = 'healthy'";
        engine.ask_database(gone).await;
        engine.restart().await;
        wait_until("another one serves alone", Duration::from_secs(60), || async {
            let now = shop.containers();
            now.len() == 1 && now[0] != container && shop.get("/").await.status == 200
        })
        .await;
        wait_until("its last words can be read", Duration::from_secs(30), || async {
            let log = engine.api().get_text(&shop.path("/logs?lines=5000")).await;
            log.contains(said)
        })
        .await;
    }
}

/// The numbers in a log of [`COUNTING`].
fn numbers(log: &str) -> Vec<usize> {
    let number = |line: &str| line.split_once("number ")?.1.strip_suffix('.')?.parse().ok();
    log.lines().filter_map(number).collect()
}

#[tokio::test]
async fn a_deployments_log_resumes_where_it_was_left() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    shop.push(&files::saying("hello")).await.must_succeed();
    let id = shop.last_deployment().await["id"].as_str().unwrap().to_owned();
    let path = shop.path(&format!("/deployments/{id}/log"));

    let lines = engine.api().get(&path).await.must_be(200);
    let all = lines["items"].as_array().unwrap();
    let third = all[2]["seq"].as_i64().unwrap();
    let request = engine
        .api()
        .request(Method::GET, &path)
        .header("accept", "text/event-stream");
    let mut rest = request.header("last-event-id", third.to_string()).send().await.unwrap();
    let seen = read_until(&mut rest, "event: end").await;

    assert!(!seen.contains(&format!("id: {third}\n")), "{seen}");
    assert!(
        seen.contains(&format!("id: {}\n", third + 1)) || seen.contains(&format!("id:{}\n", third + 1)),
        "{seen}"
    );
    assert_eq!(
        seen.matches("event: line").count() + seen.matches("event:line").count(),
        all.len() - 3,
        "{seen}"
    );
}
