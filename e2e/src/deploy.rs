//! From `git push` to the first 200 at the app's address.

use std::time::{Duration, Instant};

use serde_json::json;
use windlass_testkit::{App, Engine, GitRepo, files, files::Files, wait_until};

use crate::{
    floor::{Floor, milliseconds, until_200},
    table::Row,
};

/// A tiny app that says which instance answers, and twenty files to copy.
fn tiny(version: usize) -> Files {
    let name = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\necho \"name=$HOSTNAME\"\n";
    let files = files::saying("hello")
        .with_program("www/cgi-bin/name", name)
        .with("www/version", version.to_string());
    (0..20).fold(files, |files, n| {
        files.with(&format!("www/file-{n}"), format!("file {n}\n").repeat(50))
    })
}

/// Deploys in turn by hand and by push, for a build that changes nothing and one that changes one file.
pub(crate) async fn measure(rounds: usize) -> Vec<Row> {
    let engine = Engine::start().await;
    let app = engine.app_with(json!({ "name": "tiny", "drain_seconds": 1 })).await;
    app.push(&tiny(0)).await.must_succeed();
    let bare = BareRepo::new().await;
    let floor = Floor::new();
    bare.receive(&app.repo).await;
    floor.deploy(bare.path());
    let mut rows = Vec::new();
    for (what, changes) in [
        ("git push to first 200, cached build, ms", false),
        ("git push to first 200, one file changed, ms", true),
    ] {
        let mut row = Row {
            what: what.to_owned(),
            values: Vec::new(),
            floor: Vec::new(),
            target: 300.0,
        };
        for round in 1..=rounds {
            // Each side changes the file in its own way: one must not find the other's build in BuildKit's cache.
            let version = |side: usize| if changes { 2 * round + side } else { 0 };
            app.repo.commit(&tiny(version(0))).await;
            bare.receive(&app.repo).await;
            settle(&app).await;
            row.floor.push(floor.deploy(bare.path()));
            app.repo.commit(&tiny(version(1))).await;
            settle(&app).await;
            row.values.push(push(&engine, &app).await);
            eprintln!(
                "# {what}: floor {:.0}, Windlass {:.0}",
                row.floor[round - 1],
                row.values[round - 1]
            );
        }
        rows.push(row);
    }
    app.destroy().await;
    rows
}

/// One push, until an instance answers that did not answer before.
async fn push(engine: &Engine, app: &App) -> f64 {
    let (router, host) = (engine.router(), app.host());
    let old = until_200(&router, &host, None);
    let start = Instant::now();
    let mut git = app.repo.command(&["push", "-q", app.git_url(), "HEAD:refs/heads/main"]);
    let pushed = tokio::spawn(async move { windlass_testkit::run(&mut git).await });
    let served = tokio::task::spawn_blocking(move || {
        until_200(&router, &host, Some(&old));
        milliseconds(start)
    });
    let served = served.await.unwrap();
    pushed.await.unwrap().must_succeed();
    served
}

/// Waits until the instance before is gone, so that its end falls into no measurement.
async fn settle(app: &App) {
    wait_until("one instance runs", Duration::from_secs(60), || async {
        app.containers().len() == 1
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
}

/// Where the floor clones from.
struct BareRepo {
    directory: tempfile::TempDir,
}

impl BareRepo {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        windlass_testkit::run_in(directory.path(), "git", &["init", "-q", "--bare", "-b", "main", "."])
            .await
            .must_succeed();
        Self { directory }
    }

    fn path(&self) -> &std::path::Path {
        self.directory.path()
    }

    async fn receive(&self, repo: &GitRepo) {
        repo.push(self.path().to_str().unwrap(), "+HEAD:refs/heads/main", &[])
            .await
            .must_succeed();
    }
}
