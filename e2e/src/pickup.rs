//! How long a deployment waits until a worker takes it up.

use serde_json::{Value, json};
use windlass_testkit::{App, Engine, eventually, files};

use crate::table::Row;

/// The same deployment again, past the API: nobody is notified.
const AGAIN: &str = "insert into deployments (id, team_id, app_id, kind, trigger, commit_id) \
    select gen_random_uuid(), team_id, app_id, kind, trigger, commit_id from deployments order by created_at desc limit 1 \
    returning id";

/// With the notification, and with the notification lost.
pub(crate) async fn measure(rounds: usize) -> Vec<Row> {
    let engine = Engine::start().await;
    let app = engine.app_with(json!({ "name": "tiny", "drain_seconds": 1 })).await;
    app.push(&files::saying("hello")).await.must_succeed();
    let commit = app.repo.git(&["rev-parse", "HEAD"]).await.must_succeed();
    let row = |what: &str, target| Row {
        what: what.to_owned(),
        values: Vec::new(),
        floor: Vec::new(),
        target,
    };
    let mut notified = row("pick-up of a waiting deployment, notified, ms", 50.0);
    let mut lost = row("pick-up of a waiting deployment, notification lost, ms", 2000.0);
    for _ in 0..rounds {
        let started = app.deploy(json!({ "commit": commit })).await;
        app.succeeded(&started).await;
        notified.values.push(waited(&engine).await);
        engine.ask_database(AGAIN).await;
        all_over(&app).await;
        lost.values.push(waited(&engine).await);
    }
    app.destroy().await;
    vec![notified, lost]
}

/// How long the newest deployment waited, in milliseconds, by the database's clock.
async fn waited(engine: &Engine) -> f64 {
    let sql =
        "select extract(epoch from started_at - created_at) * 1000 from deployments order by created_at desc limit 1";
    engine.ask_database(sql).await.parse().unwrap()
}

async fn all_over(app: &App) {
    eventually(
        "all deployments are over",
        std::time::Duration::from_secs(60),
        || async {
            let all = app.list("deployments").await;
            let over = |deployment: &Value| !matches!(deployment["status"].as_str(), Some("pending" | "running"));
            all.iter().all(over).then_some(())
        },
    )
    .await;
}
