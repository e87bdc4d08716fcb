//! A real Traefik serves the same apps from the labels and the health of their containers, and keeps the same promise: new before
//! old, healthy before routed, drained before stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{task::JoinHandle, time::MissedTickBehavior};
use windlass_testkit::{App, Engine, EngineOptions, Traefik, docker, files, get, wait_until};

/// Deployments in a row under load; `WINDLASS_STORY_DEPLOYS` says another number.
const DEPLOYMENTS: u32 = 4;
/// Milliseconds between two requests of the crowd.
const BETWEEN_REQUESTS: u64 = 10;

async fn start() -> (Engine, Traefik) {
    let engine = Engine::start_with(EngineOptions::default().with("WINDLASS_ROUTER", "traefik")).await;
    let traefik = Traefik::start(engine.spare_port(), engine.id(), &engine.data_dir().join("traefik.log")).await;
    (engine, traefik)
}

/// Many who ask at a steady pace, whether or not they get answers; every second one on a connection of its own.
struct Crowd {
    done: Arc<AtomicBool>,
    heard: Arc<Mutex<BTreeMap<String, u32>>>,
    task: JoinHandle<()>,
}

impl Crowd {
    fn start(traefik: &Traefik, app: &App) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let heard = Arc::new(Mutex::new(BTreeMap::new()));
        let (url, host) = (format!("http://{}/", traefik.address()), app.host());
        let notes = (done.clone(), heard.clone());
        let task = tokio::spawn(async move {
            let (done, heard) = notes;
            let client = |kept: usize| {
                let client = reqwest::Client::builder().timeout(Duration::from_secs(10));
                client.pool_max_idle_per_host(kept).build().unwrap()
            };
            let clients = [client(100), client(0)];
            let mut clock = tokio::time::interval(Duration::from_millis(BETWEEN_REQUESTS));
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut asked = tokio::task::JoinSet::new();
            for client in clients.iter().cycle() {
                clock.tick().await;
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let request = client.get(&url).header("host", &host);
                let heard = heard.clone();
                asked.spawn(async move {
                    let words = match request.send().await {
                        Ok(answer) if answer.status() == 200 => {
                            answer.text().await.unwrap_or_else(|e| format!("{e:?}"))
                        }
                        Ok(answer) => answer.status().to_string(),
                        Err(error) => format!("{error:?}"),
                    };
                    *heard.lock().unwrap().entry(words.trim_end().to_owned()).or_insert(0) += 1;
                });
            }
            while asked.join_next().await.is_some() {}
        });
        Self { done, heard, task }
    }

    fn heard(&self, words: &str) -> u32 {
        self.heard.lock().unwrap().get(words).copied().unwrap_or(0)
    }

    async fn hears(&self, words: &str) {
        let what = format!("somebody hears {words:?}");
        wait_until(&what, Duration::from_secs(30), || async { self.heard(words) > 0 }).await;
    }

    /// Ends, and gives how often each answer was heard.
    async fn disperse(self) -> BTreeMap<String, u32> {
        self.done.store(true, Ordering::Relaxed);
        self.task.await.expect("the crowd does not panic");
        self.heard.lock().unwrap().clone()
    }

    /// Ends, and fails the test when anything else was heard than these.
    async fn must_have_heard_only(self, words: &[&str]) {
        let heard = self.disperse().await;
        let others: Vec<_> = heard
            .iter()
            .filter(|(heard, _)| !words.contains(&heard.as_str()))
            .collect();
        assert!(others.is_empty(), "{others:#?} among {heard:#?}");
        println!("{} requests: {heard:?}", heard.values().sum::<u32>());
    }
}

#[tokio::test]
async fn a_real_traefik_routes_the_same_app() {
    let (engine, traefik) = start().await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 5 })).await;

    shop.push(&files::saying("one")).await.must_succeed();
    let says = |text: &'static str| {
        let (traefik, host) = (traefik.address(), shop.host());
        async move { get(&traefik, &host, "/").await.body.trim_end() == text }
    };
    assert!(says("one").await, "Traefik serves it when the push has ended");

    shop.push(&files::saying("two")).await.must_succeed();
    wait_until(
        "Traefik serves the second release alone",
        Duration::from_secs(30),
        || says("two"),
    )
    .await;
    assert_eq!(get(&traefik.address(), "other.localhost", "/").await.status, 404);
}

#[tokio::test]
async fn through_traefik_a_release_that_never_gets_healthy_never_gets_a_visitor() {
    let (engine, traefik) = start().await;
    let health = json!({ "path": "/healthy", "deadline_seconds": 6 });
    let shop = engine
        .app_with(json!({ "name": "shop", "health": health, "drain_seconds": 1 }))
        .await;
    let healthy = files::saying("one").with("www/healthy", "yes");
    shop.push(&healthy).await.must_succeed();
    let crowd = Crowd::start(&traefik, &shop);
    crowd.hears("one").await;

    // It answers, but not at the path of its health check.
    shop.push(&files::saying("two")).await.must_fail();

    crowd.must_have_heard_only(&["one"]).await;
}

#[tokio::test]
async fn deployments_in_a_row_through_traefik_drop_no_request() {
    let (engine, traefik) = start().await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 1 })).await;
    shop.push(&files::saying("release 0")).await.must_succeed();
    let crowd = Crowd::start(&traefik, &shop);
    let count = std::env::var("WINDLASS_STORY_DEPLOYS").map_or(DEPLOYMENTS, |count| count.parse().unwrap());

    let mut releases = vec!["release 0".to_owned()];
    for n in 1..=count {
        let release = format!("release {n}");
        shop.push(&files::saying(&release)).await.must_succeed();
        crowd.hears(&release).await;
        releases.push(release);
    }
    wait_until("the last release alone runs", Duration::from_secs(30), || async {
        shop.containers().len() == 1
    })
    .await;

    let words: Vec<&str> = releases.iter().map(String::as_str).collect();
    crowd.must_have_heard_only(&words).await;
}

#[tokio::test]
async fn scaling_and_restarting_through_traefik_drop_no_request() {
    let (engine, traefik) = start().await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 1 })).await;
    shop.push(&files::saying("hello")).await.must_succeed();
    let crowd = Crowd::start(&traefik, &shop);

    shop.scale(json!({ "web": 3 })).await;
    wait_until("three run", Duration::from_secs(60), || async {
        shop.containers().len() == 3
    })
    .await;
    let before = shop.containers();
    engine.api().post(&shop.path("/restart"), json!({})).await.must_be(202);
    wait_until("three others run", Duration::from_secs(90), || async {
        let now = shop.containers();
        now.len() == 3 && now.iter().all(|one| !before.contains(one))
    })
    .await;
    shop.scale(json!({ "web": 1 })).await;
    wait_until("one is left", Duration::from_secs(60), || async {
        shop.containers().len() == 1
    })
    .await;

    crowd.must_have_heard_only(&["hello"]).await;
}

#[tokio::test]
async fn an_image_of_nothing_but_a_server_is_served_through_traefik() {
    let (engine, traefik) = start().await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 1 })).await;
    let bare = |text: &str| {
        let dockerfile = format!(
            "FROM {} AS parts\nFROM scratch\nCOPY --from=parts /bin/busybox /httpd\nCOPY www /www\nUSER 65534:65534\n\
             EXPOSE 8080\nCMD [\"/httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]\n",
            docker::BUSYBOX
        );
        files::Files::new()
            .with("Dockerfile", dockerfile)
            .with("www/index.html", text)
    };
    shop.push(&bare("one")).await.must_succeed();
    let crowd = Crowd::start(&traefik, &shop);
    crowd.hears("one").await;
    shop.push(&bare("two")).await.must_succeed();
    crowd.hears("two").await;
    crowd.must_have_heard_only(&["one", "two"]).await;
}

#[tokio::test]
async fn killing_the_engine_disturbs_no_request_through_traefik() {
    let (mut engine, traefik) = start().await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 1 })).await;
    shop.push(&files::saying("hello")).await.must_succeed();
    let before = shop.containers();
    let crowd = Crowd::start(&traefik, &shop);
    crowd.hears("hello").await;

    engine.kill9();
    let served = crowd.heard("hello");
    wait_until("the app serves without an engine", Duration::from_secs(10), || async {
        crowd.heard("hello") > served + 20
    })
    .await;
    engine.restart().await;

    assert_eq!(shop.containers(), before, "the same containers serve");
    shop.destroy().await;
    let heard = crowd.disperse().await;
    let others: Vec<_> = heard
        .keys()
        .filter(|heard| *heard != "hello" && !heard.starts_with("404"))
        .collect();
    assert!(others.is_empty(), "{heard:#?}");
}

/// Takes its time to begin, and serves then.
const SLOW: &str = r#"#!/bin/sh
sleep 3
httpd -f -p "$PORT" -h /app/www &
trap 'kill $!; exit 0' TERM
wait $!
"#;

/// The gates of instances, as the engine keeps them.
fn gates(engine: &Engine) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(engine.data_dir().join("gates")).unwrap();
    let folders = entries.map(|entry| entry.unwrap().path());
    folders.filter(|gate| gate.join("state").is_file()).collect()
}

/// Makes a gate one that is closed, whatever is written there.
fn wall_up(gate: &Path) {
    std::fs::remove_file(gate.join("state")).unwrap();
    std::fs::create_dir(gate.join("state")).unwrap();
}

#[tokio::test]
async fn an_app_that_traefik_never_sees_keeps_its_old_release_and_is_no_trouble_of_others() {
    let (engine, traefik) = start().await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 1 })).await;
    let blog = engine.app_with(json!({ "name": "blog", "drain_seconds": 1 })).await;
    shop.push(&files::saying("shop one")).await.must_succeed();
    blog.push(&files::saying("blog one")).await.must_succeed();
    let (old_shop, old_blog) = (shop.containers(), blog.containers());
    let (shoppers, readers) = (Crowd::start(&traefik, &shop), Crowd::start(&traefik, &blog));

    let before = gates(&engine);
    let second = files::saying("shop two").with_program("serve", SLOW);
    let breaks = async {
        wait_until("the second release has a gate", Duration::from_secs(60), || async {
            gates(&engine) != before
        })
        .await;
        gates(&engine).difference(&before).for_each(|gate| wall_up(gate));
    };
    let (pushed, ()) = tokio::join!(shop.push(&second), breaks);
    let said = pushed.output;
    let unseen = format!("the router does not see {}-web-v2-", shop.name());
    assert!(said.contains(&unseen), "{said}");
    assert!(said.contains("docker inspect"), "{said}");

    let began = Instant::now();
    blog.push(&files::saying("blog two")).await.must_succeed();
    readers.hears("blog two").await;
    wait_until("the blog's old instance has left", Duration::from_secs(20), || async {
        let now = blog.containers();
        now.len() == 1 && now != old_blog
    })
    .await;
    println!("the blog was switched within {:?}", began.elapsed());
    readers.must_have_heard_only(&["blog one", "blog two"]).await;
    let shops = shop.containers();
    assert!(
        old_shop.iter().all(|old| shops.contains(old)),
        "the old shop goes on: {shops:?}"
    );

    // What it says helps: another instance has a gate of its own.
    engine.api().post(&shop.path("/restart"), json!({})).await.must_be(202);
    shoppers.hears("shop two").await;
    wait_until("the second release alone runs", Duration::from_secs(30), || async {
        let now = shop.containers();
        now.len() == 1 && !shops.contains(&now[0])
    })
    .await;
    shoppers.must_have_heard_only(&["shop one", "shop two"]).await;
}

#[tokio::test]
async fn an_instance_gets_its_whole_drain_time_after_traefik_has_noticed() {
    const DRAIN: Duration = Duration::from_secs(5);
    let (engine, _traefik) = start().await;
    let shop = engine
        .app_with(json!({ "name": "shop", "drain_seconds": DRAIN.as_secs() }))
        .await;
    shop.push(&files::saying("one")).await.must_succeed();
    let old = shop.containers().remove(0);
    let heard = engine.data_dir().join("docker.events");
    let mut listening = Command::new(docker::program())
        .args(["events", "--filter", &format!("container={old}")])
        .args(["--format", "{{.TimeNano}} {{.Status}}"])
        .stdout(File::create(&heard).unwrap())
        .spawn()
        .unwrap();
    shop.push(&files::saying("two")).await.must_succeed();
    let events = || std::fs::read_to_string(&heard).unwrap();
    wait_until("the old instance has left", Duration::from_secs(60), || async {
        events().contains("destroy")
    })
    .await;
    listening.kill().unwrap();
    listening.wait().unwrap();

    let events = events();
    let at = |what: &str| {
        let all = events.lines().filter_map(|event| event.split_once(' '));
        let mut of = all.filter(|(_, status)| *status == what);
        let (nanos, _) = of.next().unwrap_or_else(|| panic!("no {what} in {events}"));
        Duration::from_nanos(nanos.parse().unwrap())
    };
    // Traefik acts on what Docker says 2 s later at the latest.
    let given = at("kill") - at("health_status: unhealthy");
    assert!(given >= DRAIN + Duration::from_millis(1500), "only {given:?}: {events}");
    assert!(
        given < DRAIN + Duration::from_secs(10),
        "as much as {given:?}: {events}"
    );
}

#[tokio::test]
async fn with_the_built_in_router_docker_checks_nothing() {
    let engine = Engine::start().await;
    let shop = engine.app("shop").await;
    let checking = files::dockerfile("HEALTHCHECK CMD [\"/bin/true\"]\nCMD [\"/app/serve\"]\n");
    shop.push(&files::saying("hello").with("Dockerfile", checking))
        .await
        .must_succeed();
    let container = &shop.containers()[0];
    let health = docker::docker(&["inspect", "-f", "{{json .State.Health}} {{json .Mounts}}", container]);
    assert_eq!(health, ["null []"]);
}
