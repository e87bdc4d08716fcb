//! Health after the first minute: what hangs is replaced, what stumbles is not, what ends again and again waits longer each time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use windlass_testkit::{App, Engine, docker, eventually, files, files::Files, wait_until};

use crate::containers::Chronicle;

const LONG: Duration = Duration::from_secs(60);

/// Checked often, by this path.
fn strict(path: &str, retries: u32) -> Value {
    json!({ "path": path, "interval_seconds": 1, "timeout_ms": 500, "retries": retries, "deadline_seconds": 10 })
}

fn create(health: Value) -> Value {
    json!({ "name": "shop", "drain_seconds": 1, "health": health, "watch": { "seconds": 0 } })
}

/// A health path whose script is this.
fn checked_by(script: &str) -> Files {
    files::saying("hello").with_program("www/cgi-bin/health", format!("#!/bin/sh\n{script}\n"))
}

/// Its server goes on accepting connections, but answers none of them.
fn hang(container: &str) {
    docker::docker(&["exec", container, "killall", "-STOP", "httpd"]);
}

/// Waits for an instance that crashed, of this process type.
async fn crashed(shop: &App, process: &str) -> Value {
    eventually("an instance has ended", LONG, || async {
        let mut instances = shop.list("instances?all=true").await.into_iter();
        instances.find(|one| one["state"] == "crashed" && one["process"] == process)
    })
    .await
}

async fn another_serves(shop: &App, before: &[String]) {
    wait_until("another container serves", LONG, || async {
        let now = shop.containers();
        now.len() == before.len() && now != before && shop.get("/").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn an_instance_that_hangs_is_replaced_with_the_reason() {
    let engine = Engine::start().await;
    let shop = engine.app_with(create(strict("/", 2))).await;
    shop.push(&files::saying("hello")).await.must_succeed();
    let before = shop.containers();

    hang(&before[0]);
    let hung = Instant::now();

    let gone = crashed(&shop, "web").await;
    println!("found after {:?}", hung.elapsed());
    assert!(gone["reason"].as_str().unwrap().contains("health check"), "{gone:#}");
    another_serves(&shop, &before).await;
}

#[tokio::test]
async fn one_that_stumbles_is_left_alone() {
    let engine = Engine::start().await;
    let shop = engine.app_with(create(strict("/cgi-bin/health", 3))).await;
    // Of three checks in a row two fail, and no more.
    let flapping = "n=$(cat /tmp/n || echo 0); echo $((n + 1)) > /tmp/n\n\
                    [ $((n % 3)) = 2 ] || printf 'Status: 503 Busy\\r\\n'\n\
                    printf 'Content-Type: text/plain\\r\\n\\r\\nwell\\n'";
    shop.push(&checked_by(flapping)).await.must_succeed();
    let before = shop.containers();

    wait_until("it was checked a dozen times", LONG, || async {
        let count = docker::try_docker(&["exec", &before[0], "cat", "/tmp/n"]).unwrap_or_default();
        count
            .first()
            .and_then(|n| n.parse::<u32>().ok())
            .is_some_and(|n| n >= 12)
    })
    .await;

    assert_eq!(shop.containers(), before);
    assert!(shop.list("instances").await.iter().all(|one| one["state"] == "healthy"));
}

#[tokio::test]
async fn a_worker_is_checked_at_the_port_of_its_own() {
    let engine = Engine::start().await;
    let mut settings = create(json!({}));
    let mut check = strict("/index.html", 2);
    check["port"] = json!(9000);
    settings["process_health"] = json!({ "worker": check });
    let shop = engine.app_with(settings).await;
    let files = files::saying("hello").with(
        "Procfile",
        "web: /app/serve\nworker: sleep 3; exec httpd -f -p 9000 -h /app/www\n",
    );
    shop.push(&files).await.must_succeed();

    shop.scale(json!({ "worker": 1 })).await;

    let worker = |state: &'static str| {
        let shop = &shop;
        eventually("there is such a worker", LONG, move || async move {
            let mut instances = shop.list("instances").await.into_iter();
            instances.find(|one| one["process"] == "worker" && one["state"] == state)
        })
    };
    let healthy = worker("healthy").await;
    let at = |name: &str| {
        healthy[name]
            .as_str()
            .unwrap()
            .parse::<chrono::DateTime<chrono::Utc>>()
            .unwrap()
    };
    let took = at("healthy_at") - at("created_at");
    assert!(took >= chrono::Duration::seconds(3), "not before it listened: {took}");
    hang(healthy["container"].as_str().unwrap());
    let gone = crashed(&shop, "worker").await;
    assert_eq!(gone["id"], healthy["id"]);
    assert!(gone["reason"].as_str().unwrap().contains("health check"), "{gone:#}");
    let next = worker("healthy").await;
    assert_ne!(next["id"], healthy["id"]);
}

#[tokio::test]
async fn a_status_counts_when_it_is_asked_for() {
    let engine = Engine::start().await;
    let mut health = strict("/cgi-bin/health", 2);
    health["status"] = json!("200,401");
    let shop = engine.app_with(create(health)).await;
    let closed = checked_by("printf 'Status: 401 Unauthorized\\r\\nContent-Type: text/plain\\r\\n\\r\\nwho?\\n'");

    shop.push(&closed).await.must_succeed();

    shop.must_say("hello").await;
}

#[tokio::test]
async fn what_is_killed_for_memory_says_so() {
    let engine = Engine::start().await;
    let mut settings = create(json!({}));
    settings["limits"] = json!({ "memory_bytes": 32 << 20 });
    let shop = engine.app_with(settings).await;
    let hungry = "#!/bin/sh\nhttpd -f -p \"$PORT\" -h /app/www &\n\
                  trap 'x=x; while true; do x=$x$x$x$x; done' USR1\n\
                  trap 'kill $!; exit 0' TERM\nwait $!\n";
    shop.push(&files::saying("hello").with_program("serve", hungry))
        .await
        .must_succeed();
    let before = shop.containers();

    docker::docker(&["kill", "-s", "USR1", &before[0]]);

    let gone = crashed(&shop, "web").await;
    assert_eq!(gone["reason"], "out of memory", "{gone:#}");
    another_serves(&shop, &before).await;
}

#[tokio::test]
async fn what_ends_again_and_again_waits_longer_each_time() {
    let engine = Engine::start().await;
    let shop = engine.app_with(create(json!({}))).await;
    let chronicle = Chronicle::of(&engine, &shop);
    let dying = "#!/bin/sh\nhttpd -f -p \"$PORT\" -h /app/www &\nsleep 2\nexit 3\n";
    shop.push(&files::saying("hello").with_program("serve", dying))
        .await
        .must_succeed();

    // 2 s of life each, with 1, 2, 4 and 8 s between them.
    let live = Instant::now();
    wait_until("twenty seconds are over", LONG, || async {
        live.elapsed() > Duration::from_secs(20)
    })
    .await;

    let starts = chronicle.all().iter().filter(|moment| moment.started).count();
    assert!((3..=5).contains(&starts), "{starts} starts in 20 s");
    assert_eq!(shop.show().await["status"], "crash_looping");
}
