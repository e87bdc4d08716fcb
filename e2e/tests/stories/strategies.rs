//! How a new release takes the place of the old one, seen by those who ask for the app and by Docker.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use windlass_testkit::{Answer, App, Engine, files, files::Files, get, wait_until};

use crate::containers::{Chronicle, most_at_once};

const LONG: Duration = Duration::from_secs(60);

/// Asks for the app again and again and keeps every answer, with the time at which it came.
struct Reader {
    done: Arc<AtomicBool>,
    task: JoinHandle<Vec<(DateTime<Utc>, Answer)>>,
}

impl Reader {
    fn of(engine: &Engine, app: &App) -> Self {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap();
        let request = client
            .get(format!("http://{}/", engine.router()))
            .header("host", app.host());
        let done = Arc::new(AtomicBool::new(false));
        let end = done.clone();
        let task = tokio::spawn(async move {
            let mut answers = Vec::new();
            while !end.load(Ordering::Relaxed) {
                let answer = ask(request.try_clone().unwrap()).await;
                answers.push((Utc::now(), answer));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            answers
        });
        Self { done, task }
    }

    /// Ends; every answer must have been a 200. Gives the bodies.
    async fn all(self) -> Vec<(DateTime<Utc>, String)> {
        self.done.store(true, Ordering::Relaxed);
        let answers = self.task.await.unwrap();
        let failed: Vec<_> = answers.iter().filter(|(_, answer)| answer.status != 200).collect();
        assert!(failed.is_empty(), "of {}: {failed:#?}", answers.len());
        answers
            .into_iter()
            .map(|(at, answer)| (at, answer.body.trim().to_owned()))
            .collect()
    }
}

async fn ask(request: reqwest::RequestBuilder) -> Answer {
    let answer = async {
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        answer.text().await.map(|body| Answer { status, body })
    };
    answer.await.unwrap_or_else(|error| Answer {
        status: 0,
        body: format!("{error:?}"),
    })
}

/// Counts, all the while, how many healthy instances have requests; gives the lowest count.
struct Census {
    done: Arc<AtomicBool>,
    lowest: Arc<Mutex<usize>>,
}

impl Census {
    fn new() -> Self {
        Self {
            done: Arc::new(AtomicBool::new(false)),
            lowest: Arc::new(Mutex::new(usize::MAX)),
        }
    }

    async fn watch(&self, engine: &Engine) {
        let routed = "select count(*) from instances i join app_states s on s.app_id = i.app_id
                      where i.process = 'web' and i.state = 'healthy'
                        and (i.release_id = s.live_release_id or i.admitted)";
        while !self.done.load(Ordering::Relaxed) {
            let count: usize = engine.ask_database(routed).await.parse().unwrap();
            let mut lowest = self.lowest.lock().unwrap();
            *lowest = count.min(*lowest);
        }
    }
}

/// The app, saying this as soon as it has come up, which takes a second.
fn saying_slowly(text: &str) -> Files {
    files::saying(text).with_program("serve", SLOWLY)
}

const SLOWLY: &str = "#!/bin/sh\nsleep 1\nhttpd -f -p \"$PORT\" -h /app/www &\ntrap 'kill $!; exit 0' TERM\nwait $!\n";

/// The same, but its second instance takes other commands.
fn second_instance(text: &str, script: &str) -> Files {
    let serve = SLOWLY.replace(
        "sleep 1\n",
        &format!("[ \"$WINDLASS_INSTANCE\" = web.2 ] && {script}\n"),
    );
    files::saying(text).with_program("serve", serve)
}

async fn three_instances(engine: &Engine) -> App {
    let health = json!({ "deadline_seconds": 5 });
    let shop = engine
        .app_with(json!({ "name": "shop", "drain_seconds": 2, "health": health, "watch": { "seconds": 0 } }))
        .await;
    shop.push(&files::saying("old")).await.must_succeed();
    shop.scale(json!({ "web": 3 })).await;
    whole(&shop, 3, "v1").await;
    shop
}

/// Waits until there are so many healthy instances of this release, and no other container.
async fn whole(shop: &App, count: usize, release: &str) {
    wait_until(
        &format!("{count} instances of {release} are all there is"),
        LONG,
        || async {
            let healthy = shop.list("instances").await.into_iter();
            let healthy = healthy.filter(|one| one["state"] == "healthy" && one["release"] == release);
            healthy.count() == count && shop.containers().len() == count
        },
    )
    .await;
}

#[tokio::test]
async fn recreate_never_runs_two_releases_at_once() {
    let engine = Engine::start().await;
    let shop = engine
        .app_with(json!({ "name": "shop", "strategy": "recreate", "drain_seconds": 1 }))
        .await;
    shop.push(&files::saying("old")).await.must_succeed();
    let chronicle = Chronicle::of(&engine, &shop);

    let output = shop.push(&files::saying("new")).await.must_succeed();

    shop.must_say("new").await;
    assert!(
        output.contains("does not answer"),
        "the downtime is told beforehand:\n{output}"
    );
    let seen = chronicle.all();
    assert!(seen.len() >= 2 && !seen[0].started && seen[0].is_of("v1"), "{seen:#?}");
    assert_eq!(most_at_once(1, &seen), 1, "{seen:#?}");
}

#[tokio::test]
async fn a_recreate_that_fails_brings_the_old_release_back() {
    let engine = Engine::start().await;
    let shop = engine
        .app_with(json!({ "name": "shop", "strategy": "recreate", "drain_seconds": 1 }))
        .await;
    shop.push(&files::saying("old")).await.must_succeed();
    let chronicle = Chronicle::of(&engine, &shop);

    shop.push(&files::running("echo broken; exit 3")).await.must_fail();

    let began = Instant::now();
    shop.must_say("old").await;
    println!(
        "the old release answers {:?} after the failure was told",
        began.elapsed()
    );
    wait_until("its start is seen", LONG, || async {
        chronicle
            .all()
            .last()
            .is_some_and(|last| last.started && last.is_of("v1"))
    })
    .await;
    let seen = chronicle.all();
    assert_eq!(most_at_once(1, &seen), 1, "{seen:#?}");
    assert_eq!(shop.containers().len(), 1);
}

#[tokio::test]
async fn rolling_takes_over_one_by_one_and_no_request_is_lost() {
    let engine = Engine::start().await;
    let shop = three_instances(&engine).await;
    let (reader, chronicle) = (Reader::of(&engine, &shop), Chronicle::of(&engine, &shop));
    let census = Census::new();

    let deploy = async {
        shop.push(&saying_slowly("new")).await.must_succeed();
        whole(&shop, 3, "v2").await;
        census.done.store(true, Ordering::Relaxed);
    };
    tokio::join!(deploy, census.watch(&engine));

    let answers: Vec<String> = reader.all().await.into_iter().map(|(_, body)| body).collect();
    let first_new = answers
        .iter()
        .position(|body| body == "new")
        .expect("the new release answers");
    assert!(
        answers[first_new..].iter().any(|body| body == "old"),
        "both answer for a while"
    );
    assert_eq!(answers.last().map(String::as_str), Some("new"));
    assert_eq!(
        *census.lowest.lock().unwrap(),
        3,
        "never fewer than wanted have requests"
    );
    let seen = chronicle.all();
    let most = most_at_once(3, &seen);
    assert!(most <= 5, "three, one more, one that drains; not {most}: {seen:#?}");
    println!("{} answers, {most} containers at most", answers.len());
}

#[tokio::test]
async fn a_rolling_release_that_fails_half_way_leaves_the_old_one_whole() {
    let engine = Engine::start().await;
    let shop = three_instances(&engine).await;
    let reader = Reader::of(&engine, &shop);
    let census = Census::new();

    let deploy = async {
        let output = shop.push(&second_instance("new", "exec sleep 1000")).await.must_fail();
        whole(&shop, 3, "v1").await;
        census.done.store(true, Ordering::Relaxed);
        output
    };
    let (output, ()) = tokio::join!(deploy, census.watch(&engine));

    assert_eq!(
        *census.lowest.lock().unwrap(),
        3,
        "what served of the new release stands in until the old one is whole"
    );
    let answers = reader.all().await;
    assert!(
        answers.iter().any(|(_, body)| body == "new"),
        "its first instance had requests"
    );
    let deployment = shop.last_deployment().await;
    assert_eq!(deployment["failure"]["code"], "not_listening", "{output}");
    for _ in 0..10 {
        shop.must_say("old").await;
    }
}

#[tokio::test]
async fn blue_green_switches_at_one_stroke() {
    let engine = Engine::start().await;
    let shop = engine
        .app_with(json!({ "name": "shop", "strategy": "blue_green", "drain_seconds": 1 }))
        .await;
    shop.push(&files::saying("old")).await.must_succeed();
    shop.scale(json!({ "web": 2 })).await;
    whole(&shop, 2, "v1").await;
    let reader = Reader::of(&engine, &shop);

    shop.push(&second_instance("new", "sleep 3")).await.must_succeed();

    whole(&shop, 2, "v2").await;
    let healthy: Vec<DateTime<Utc>> = shop
        .list("instances")
        .await
        .iter()
        .filter(|one| one["release"] == "v2")
        .map(|one| one["healthy_at"].as_str().unwrap().parse().unwrap())
        .collect();
    let answers = reader.all().await;
    let first_new = answers
        .iter()
        .position(|(_, body)| body == "new")
        .expect("the new release answers");
    assert!(
        answers[first_new..].iter().all(|(_, body)| body == "new"),
        "no way back and forth"
    );
    let (switched, _) = answers[first_new];
    assert_eq!(healthy.len(), 2);
    assert!(
        healthy.iter().all(|at| *at <= switched),
        "{healthy:?} before {switched}"
    );
    let apart = *healthy.iter().max().unwrap() - *healthy.iter().min().unwrap();
    assert!(apart > chrono::Duration::seconds(2), "one of them waited for the other");
}

/// When a step began and ended.
fn times(deployment: &Value, step: &str) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let step = deployment["steps"].as_array()?.iter().find(|one| one["step"] == step)?;
    let at = |name: &str| step[name].as_str().and_then(|text| text.parse().ok());
    assert_eq!(step["outcome"].as_str().unwrap_or("done"), "done", "{deployment:#}");
    Some((at("started_at")?, at("finished_at")?))
}

#[tokio::test]
async fn the_old_release_drains_and_retires_as_steps_of_the_deployment() {
    let engine = Engine::start().await;
    let shop = engine.app_with(json!({ "name": "shop", "drain_seconds": 20 })).await;
    let slow = "#!/bin/sh\nsleep 4\nprintf 'Content-Type: text/plain\\r\\n\\r\\nat last\\n'\n";
    let old = files::saying("old").with_program("www/cgi-bin/slow", slow);
    shop.push(&old).await.must_succeed();
    shop.push_with(&files::saying("new"), &["no-deploy"])
        .await
        .must_succeed();
    let commit = shop.repo.git(&["rev-parse", "HEAD"]).await.must_succeed();
    let (router, host) = (engine.router(), shop.host());
    let request = tokio::spawn(async move {
        let answer = get(&router, &host, "/cgi-bin/slow").await;
        (Utc::now(), answer)
    });
    wait_until("the request is under way", LONG, || async {
        shop.logs().await.contains("/cgi-bin/slow")
    })
    .await;

    let started = shop.deploy(json!({ "commit": commit })).await;

    shop.succeeded(&started).await;
    let (answered, answer) = request.await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "at last\n"));
    let path = shop.path(&format!("/deployments/{}", started["id"].as_str().unwrap()));
    wait_until("both steps have ended", LONG, || async {
        let now = engine.api().get(&path).await.must_be(200);
        times(&now, "drain").is_some() && times(&now, "retire").is_some()
    })
    .await;
    let deployment = engine.api().get(&path).await.must_be(200);
    let (drain, retire) = (
        times(&deployment, "drain").unwrap(),
        times(&deployment, "retire").unwrap(),
    );
    assert!(
        drain.1 >= answered - chrono::Duration::milliseconds(50),
        "it drained until {answered}: {drain:?}"
    );
    assert!(retire.0 >= drain.1 && retire.1 >= retire.0, "{drain:?} {retire:?}");
    assert_eq!(shop.containers().len(), 1);
}
