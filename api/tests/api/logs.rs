use axum::body::Body;
use chrono::Utc;
use serde_json::{Value, json};
use windlass_store::{NewRunLog, RunLogBatch};

use crate::{
    client::Live,
    support::{Api, with_api},
    worker::{Work, claim, start},
};

/// A deployment that goes on, and the path of its log.
async fn deploying(api: &Api) -> (Work, String) {
    api.post("/apps", json!({"name": "shop", "repo_url": "https://github.com/a/b"}))
        .await
        .must_be(201);
    let deployment = api.post("/apps/shop/deployments", json!({})).await.must_be(202);
    let path = format!("/apps/shop/deployments/{}/log", deployment["id"].as_str().unwrap());
    (claim(&api.store).await, path)
}

/// The data of the events of this name, with their ids.
fn events(stream: &str, name: &str) -> Vec<(String, Value)> {
    let field = |event: &str, key: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(key));
        line.map(|value| value.trim().to_owned())
    };
    stream
        .split("\n\n")
        .filter(|event| field(event, "event:").as_deref() == Some(name))
        .map(|event| {
            (
                field(event, "id:").unwrap_or_default(),
                serde_json::from_str(&field(event, "data:").unwrap()).unwrap(),
            )
        })
        .collect()
}

#[tokio::test]
async fn the_log_of_a_deployment_is_followed_to_its_end() {
    with_api(|api| async move {
        let (work, path) = deploying(&api).await;
        work.say("-----> One").await;
        let mut live = api.stream(&path, "text/event-stream", None).await;
        live.until("-----> One").await;
        assert!(live.seen.starts_with("retry:"), "{}", live.seen);
        work.say("-----> Two").await;
        live.until("-----> Two").await;
        work.succeed().await;
        let stream = live.end().await;
        let lines = events(&stream, "line");
        assert_eq!(lines.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(
            (&lines[1].1["text"], &lines[1].1["source"]),
            (&json!("-----> Two"), &json!("windlass"))
        );
        let end = events(&stream, "end");
        assert_eq!(
            (&end[0].1["status"], &end[0].1["release"]),
            (&json!("succeeded"), &json!("v1"))
        );
        assert!(end[0].1["steps"].is_array());
    })
    .await;
}

#[tokio::test]
async fn a_client_that_comes_back_misses_nothing_and_sees_nothing_twice() {
    with_api(|api| async move {
        let (work, path) = deploying(&api).await;
        for line in ["one", "two", "three"] {
            work.say(line).await;
        }
        let resumed: Live = api.stream(&path, "text/event-stream", Some("2")).await;
        work.succeed().await;
        let lines = events(&resumed.end().await, "line");
        assert_eq!(lines.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["3"]);
        let after_the_end = api.stream(&path, "text/event-stream", Some("3")).await.end().await;
        assert_eq!(
            (
                events(&after_the_end, "line").len(),
                events(&after_the_end, "end").len()
            ),
            (0, 1)
        );
    })
    .await;
}

#[tokio::test]
async fn a_log_is_read_in_parts_or_as_text() {
    with_api(|api| async move {
        let (work, path) = deploying(&api).await;
        for line in ["one", "two", "three"] {
            work.say(line).await;
        }
        let part = api.get(&format!("{path}?limit=2")).await.must_be(200);
        assert_eq!((&part["items"][1]["text"], &part["next"]), (&json!("two"), &json!(2)));
        let rest = api.get(&format!("{path}?limit=2&after=2")).await.must_be(200);
        assert_eq!((&rest["items"][0]["seq"], &rest["next"]), (&json!(3), &json!(null)));
        assert_eq!(api.get(&format!("{path}?limit=0")).await.pointers(), ["limit"]);
        assert_eq!(api.get(&format!("{path}?after=x")).await.pointers(), ["after"]);
        let request = api
            .request("GET", &path)
            .header("accept", "text/plain")
            .body(Body::empty())
            .unwrap();
        assert_eq!(api.send(request).await.text, "one\ntwo\nthree\n");

        let mut followed = api.stream(&format!("{path}?follow=true"), "text/plain", None).await;
        followed.until("three\n").await;
        work.say("four").await;
        followed.until("four\n").await;
        work.succeed().await;
        assert_eq!(followed.end().await, "one\ntwo\nthree\nfour\n");
    })
    .await;
}

#[tokio::test]
async fn live_logs_end_when_the_server_stops() {
    with_api(|api| async move {
        let (_work, path) = deploying(&api).await;
        let of_deployment = api.stream(&path, "text/event-stream", None).await;
        let of_app = api.stream("/apps/shop/logs", "text/event-stream", None).await;
        api.shutdown.cancel();
        assert!(events(&of_deployment.end().await, "end").is_empty());
        of_app.end().await;
        assert_eq!(api.get("/readyz").await.must_be(503)["checks"][1]["name"], "shutdown");
    })
    .await;
}

/// An instance of the app that prints.
struct Printing {
    batch: RunLogBatch,
}

impl Printing {
    async fn start(api: &Api, process: &str) -> Self {
        let release = api
            .store
            .list_releases(api.team, app(api).await, Default::default())
            .await
            .unwrap()
            .items
            .remove(0);
        let instance = start(&api.store, &release, process).await;
        let batch = RunLogBatch {
            app: release.app,
            instance: instance.id,
            instance_name: format!("{process}.1"),
            process: instance.process,
            lines: Vec::new(),
            from_ns: 0,
            cursor_ns: 0,
            max_lines: 1000,
            max_bytes: 1 << 20,
        };
        Self { batch }
    }

    async fn print(&mut self, api: &Api, text: &str) {
        self.batch.from_ns = self.batch.cursor_ns;
        self.batch.cursor_ns += 1;
        self.batch.lines = vec![NewRunLog {
            at: Utc::now(),
            stream: "stdout".to_owned(),
            text: text.to_owned(),
        }];
        api.store.append_run_log(&self.batch).await.unwrap();
    }
}

async fn app(api: &Api) -> windlass_domain::AppId {
    api.store
        .app(api.team, &"shop".parse().unwrap())
        .await
        .unwrap()
        .unwrap()
        .id
}

#[tokio::test]
async fn the_log_of_an_app_is_tailed_over_its_instances() {
    with_api(|api| async move {
        let (work, _) = deploying(&api).await;
        work.succeed().await;
        let mut web = Printing::start(&api, "web").await;
        let mut worker = Printing::start(&api, "worker").await;
        web.print(&api, "GET /").await;
        worker.print(&api, "job 1").await;

        let listed = api.get("/apps/shop/logs?lines=10").await.must_be(200);
        let texts: Vec<_> = listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["text"].clone())
            .collect();
        assert_eq!(texts, ["GET /", "job 1"]);
        assert_eq!(
            api.get("/apps/shop/logs?lines=1").await.must_be(200)["items"][0]["text"],
            "job 1"
        );
        let only = api.get("/apps/shop/logs?process=web").await.must_be(200);
        assert_eq!(only["items"].as_array().unwrap().len(), 1);
        assert_eq!(api.get("/apps/shop/logs?lines=0").await.pointers(), ["lines"]);
        assert_eq!(api.get("/apps/shop/logs?process=A").await.pointers(), ["process"]);

        let mut live = api
            .stream("/apps/shop/logs?process=worker", "text/event-stream", None)
            .await;
        live.until("job 1").await;
        web.print(&api, "GET /quiet").await;
        worker.print(&api, "job 2").await;
        live.until("job 2").await;
        let lines = events(&live.seen, "line");
        assert_eq!(lines.len(), 2, "{}", live.seen);
        let mut resumed = api
            .stream("/apps/shop/logs?process=worker", "text/event-stream", Some(&lines[0].0))
            .await;
        resumed.until("job 2").await;
        assert_eq!(events(&resumed.seen, "line").len(), 1);

        let mut text = api
            .stream("/apps/shop/logs?lines=1&follow=true", "text/plain", None)
            .await;
        text.until("worker.1 | job 2\n").await;
        web.print(&api, "GET /loud").await;
        text.until("web.1 | GET /loud\n").await;
        api.delete("/apps/shop").await.must_be(202);
        assert!(api.store.purge_app(app(&api).await).await.unwrap());
        text.end().await;
    })
    .await;
}
