//! Deploying and following what becomes of it.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::json;
use support::{
    Answer, Fake,
    answers::{self, DEPLOYMENT},
    json, stderr, stdout,
};

fn log() -> String {
    format!("/apps/shop/deployments/{DEPLOYMENT}/log")
}

fn follows(fake: &Fake, status: &str) {
    let stream = [answers::line(1, "-----> Building"), answers::end(status)].concat();
    fake.on(&format!("GET {}", log()), Answer::events(&stream));
}

#[test]
fn a_log_goes_on_where_a_lost_connection_left_it() {
    let fake = Fake::start();
    let request = format!("GET {}", log());
    let first = [answers::line(1, "one"), answers::line(2, "two")].concat();
    let second = [
        answers::line(2, "two"),
        answers::line(3, "three"),
        answers::end("succeeded"),
    ]
    .concat();
    fake.on(&request, Answer::events(&first).cut())
        .on(&request, Answer::empty(503))
        .on(&request, Answer::events(&second));
    let follow = fake
        .run(&["deployments", "log", DEPLOYMENT, "-f", "-a", "shop"])
        .code(0);
    assert_eq!(stdout(&follow), "one\ntwo\nthree\n");
    let ids: Vec<_> = fake.seen().into_iter().map(|request| request.last_event_id).collect();
    assert_eq!(ids, [None, Some("2".to_owned()), Some("2".to_owned())]);
}

#[test]
fn a_log_is_read_part_by_part() {
    let fake = Fake::start();
    let part = |seq: i64, next: serde_json::Value| {
        let line = json!({"seq": seq, "at": "2026-11-21T10:00:00Z", "source": "build", "text": format!("line {seq}\u{1b}[2J")});
        Answer::json(200, &json!({"items": [line], "next": next}))
    };
    fake.on(&format!("GET {}", log()), part(1, json!(1)))
        .on(&format!("GET {}", log()), part(2, json!(null)));
    let read = fake.run(&["deployments", "log", DEPLOYMENT, "-a", "shop"]).code(0);
    assert_eq!(stdout(&read), "line 1\nline 2\n");
    assert!(fake.seen()[1].target.ends_with("?after=1"));
}

#[test]
fn a_failed_deployment_gives_its_reason_and_exit_code_6() {
    let fake = Fake::start();
    follows(&fake, "failed");
    let repository = json!("https://example.com/shop.git");
    let mut app = answers::app("shop");
    app["repo_url"] = repository;
    fake.get("/apps/shop", &app).on(
        "POST /apps/shop/deployments",
        Answer::json(202, &answers::deployment("pending")),
    );
    let deploy = fake.run(&["deploy", "--ref", "v1", "-a", "shop"]).code(6);
    assert_eq!(fake.bodies("POST"), [json!({"ref": "v1"})]);
    assert_eq!(stdout(&deploy), "");
    let said = stderr(&deploy);
    assert!(
        said.contains("-----> Building") && said.contains("the app listens on port 3000"),
        "{said}"
    );
    assert!(said.contains("Next: listen on $PORT"), "{said}");
}

#[test]
fn another_repository_is_taken_after_a_confirmation_only() {
    let fake = Fake::start();
    follows(&fake, "succeeded");
    let mut app = answers::app("shop");
    app["repo_url"] = json!("https://example.com/old.git");
    fake.get("/apps/shop", &app)
        .on("PATCH /apps/shop", Answer::json(200, &app))
        .on(
            "POST /apps/shop/deployments",
            Answer::json(202, &answers::deployment("pending")),
        );
    let deploy = ["deploy", "https://example.com/new.git", "-a", "shop"];
    fake.run(&deploy).code(2);
    assert_eq!(fake.bodies("PATCH").len(), 0);
    let done = fake.command(&deploy).arg("--yes").assert().code(0);
    assert_eq!(
        fake.bodies("PATCH"),
        [json!({"repo_url": "https://example.com/new.git"})]
    );
    assert_eq!(stdout(&done), "http://shop.apps.example.com\n");
}

#[test]
fn this_directorys_commit_is_pushed_with_the_token() {
    let fake = Fake::start();
    let commit = fake.repository();
    let bare = fake.serve_git("shop");
    fs::write(fake.work().join("Procfile"), "web: false\n").unwrap();
    let mut deployed = answers::deployment("succeeded");
    deployed["commit"] = json!(commit);
    fake.get("/apps/shop", &answers::app("shop"))
        .get("/apps/shop/deployments", &answers::items(&[]))
        .get("/apps/shop/deployments", &answers::items(&[deployed]));
    let deploy = fake.run(&["deploy", "-a", "shop"]).code(0);
    assert_eq!(support::git(&bare, &["rev-parse", "main"]), commit);
    assert_eq!(stdout(&deploy), "http://shop.apps.example.com\n");
    assert!(
        stderr(&deploy).contains("1 uncommitted change is not deployed"),
        "{}",
        stderr(&deploy)
    );
    assert!(!stderr(&deploy).contains(support::TOKEN));
    // What is there already is deployed again, through the API.
    follows(&fake, "succeeded");
    fake.on(
        "POST /apps/shop/deployments",
        Answer::json(202, &answers::deployment("pending")),
    );
    fake.run(&["deploy", "-a", "shop"]).code(0);
    assert_eq!(fake.bodies("POST"), [json!({"commit": commit})]);
}

#[test]
fn a_push_that_the_server_refuses_is_a_failed_deployment() {
    let fake = Fake::start();
    fake.repository();
    let hook = fake.serve_git("shop").join("hooks/pre-receive");
    script(&hook, "echo '-----> Building'\nexit 1\n");
    fake.get("/apps/shop", &answers::app("shop"))
        .get("/apps/shop/deployments", &answers::items(&[]));
    let said = stderr(&fake.run(&["deploy", "-a", "shop"]).code(6));
    assert!(said.contains("remote: -----> Building"), "{said}");
    assert!(said.contains("refused the push: pre-receive hook declined"), "{said}");
}

/// Writes a hook.
fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_deployment_is_followed_to_its_end_when_the_server_restarts_under_the_push() {
    let fake = Fake::start();
    let commit = fake.repository();
    script(&fake.serve_git("shop").join("hooks/pre-receive"), "exit 1\n");
    let mut earlier = answers::deployment("failed");
    earlier["id"] = json!("dpl_earlier");
    earlier["commit"] = json!(commit);
    let mut pending = answers::deployment("pending");
    pending["commit"] = json!(commit);
    fake.get("/apps/shop", &answers::app("shop"))
        .get(
            "/apps/shop/deployments",
            &answers::items(std::slice::from_ref(&earlier)),
        )
        .on("GET /apps/shop/deployments", Answer::empty(503))
        .get("/apps/shop/deployments", &answers::items(&[pending, earlier.clone()]));
    fake.on(&format!("GET {}", log()), Answer::empty(503));
    follows(&fake, "succeeded");
    let deploy = fake.run(&["deploy", "-a", "shop"]).code(0);
    assert_eq!(stdout(&deploy), "http://shop.apps.example.com\n");
    assert!(stderr(&deploy).contains("v4 of shop is live"), "{}", stderr(&deploy));
}

#[test]
fn an_earlier_deployment_of_the_same_commit_is_not_taken_for_that_of_the_push() {
    let fake = Fake::start();
    let commit = fake.repository();
    script(&fake.serve_git("shop").join("hooks/pre-receive"), "exit 1\n");
    let mut earlier = answers::deployment("succeeded");
    earlier["commit"] = json!(commit);
    fake.get("/apps/shop", &answers::app("shop"))
        .get("/apps/shop/deployments", &answers::items(&[earlier]));
    fake.run(&["deploy", "-a", "shop"]).code(6);
}

#[test]
fn a_detached_deployment_is_pushed_without_waiting() {
    let fake = Fake::start();
    let commit = fake.repository();
    let bare = fake.serve_git("shop");
    let says = "echo '-----> Stored without a deployment (no-deploy)'\necho hello\n";
    script(&bare.join("hooks/pre-receive"), says);
    fake.get("/apps/shop", &answers::app("shop"))
        .get("/apps/shop/deployments", &answers::items(&[]))
        .on(
            "POST /apps/shop/deployments",
            Answer::json(202, &answers::deployment("pending")),
        );
    let deploy = fake.run(&["deploy", "-a", "shop", "--detach"]).code(0);
    let said = stderr(&deploy);
    assert!(said.contains("remote: hello") && !said.contains("no-deploy"), "{said}");
    assert_eq!(stdout(&deploy), format!("{DEPLOYMENT}\n"));
    assert_eq!(fake.bodies("POST"), [json!({"commit": commit})]);
    assert_eq!(support::git(&bare, &["rev-parse", "main"]), commit);
}

#[test]
fn where_there_is_nothing_to_deploy_it_says_so() {
    let fake = Fake::start();
    fake.get("/apps/shop", &answers::app("shop"));
    let deploy = fake.run(&["deploy", "-a", "shop"]).code(2);
    assert!(
        stderr(&deploy).contains("not in a git repository"),
        "{}",
        stderr(&deploy)
    );
}

#[test]
fn the_one_deployment_under_way_is_cancelled() {
    let fake = Fake::start();
    let running = answers::items(&[answers::deployment("running")]);
    fake.get("/apps/shop/deployments", &running).on(
        &format!("POST /apps/shop/deployments/{DEPLOYMENT}/cancel"),
        Answer::json(202, &answers::deployment("running")),
    );
    let cancel = fake.run(&["deployments", "cancel", "-a", "shop", "--json"]).code(0);
    assert_eq!(json(&cancel)["id"], DEPLOYMENT);
    let over = format!("/apps/shop/deployments/{DEPLOYMENT}x/cancel");
    fake.on(
        &format!("POST {over}"),
        Answer::json(409, &answers::problem(409, "over", "the deployment is over")),
    );
    fake.run(&["deployments", "cancel", &format!("{DEPLOYMENT}x"), "-a", "shop"])
        .code(5);
}

#[test]
fn the_running_deployment_is_cancelled_before_the_newest_that_waits() {
    let fake = Fake::start();
    let deployment = |id: &str, status: &str| {
        let mut deployment = answers::deployment(status);
        deployment["id"] = json!(id);
        deployment
    };
    let waiting = [deployment("dpl_3", "pending"), deployment("dpl_2", "pending")];
    let running = [&waiting[..], &[deployment("dpl_1", "running")]].concat();
    fake.get("/apps/shop/deployments", &answers::items(&running))
        .get("/apps/shop/deployments", &answers::items(&waiting))
        .get(
            "/apps/shop/deployments",
            &answers::items(&[answers::deployment("failed")]),
        );
    for id in ["dpl_1", "dpl_3"] {
        let path = format!("POST /apps/shop/deployments/{id}/cancel");
        fake.on(&path, Answer::json(202, &deployment(id, "running")));
        let cancel = fake.run(&["deployments", "cancel", "-a", "shop", "--json"]).code(0);
        assert_eq!(json(&cancel)["id"], id);
    }
    fake.run(&["deployments", "cancel", "-a", "shop"]).code(3);
}

#[test]
fn a_bare_noun_takes_the_options_of_its_list() {
    let fake = Fake::start();
    fake.get(
        "/apps/shop/deployments",
        &answers::items(&[answers::deployment("failed")]),
    )
    .get("/apps/shop/releases", &answers::items(&[answers::release(3, true)]));
    fake.run(&["deployments", "-n", "1", "-a", "shop"]).code(0);
    fake.run(&["releases", "--limit", "1", "-a", "shop"]).code(0);
    fake.run(&["deployments", "-a", "shop", "list", "-n", "1"]).code(0);
    assert!(fake.seen().iter().all(|request| request.target.ends_with("?limit=1")));
    fake.run(&["deployments", "-n", "1", "cancel", "-a", "shop"]).code(2);
}

#[test]
fn a_rollback_is_followed() {
    let fake = Fake::start();
    follows(&fake, "succeeded");
    let mut pending = answers::deployment("pending");
    pending["kind"] = json!({"type": "rollback", "to": "v2"});
    fake.on("POST /apps/shop/rollback", Answer::json(202, &pending))
        .get(
            "/apps/shop/config",
            &json!({"version": 2, "vars": {"GREETING": "hunter2", "X": "new"}}),
        )
        .get("/apps/shop/config", &json!({"version": 3, "vars": {"X": "old"}}));
    let rollback = fake.run(&["rollback", "v2", "-a", "shop"]).code(0);
    assert_eq!(fake.bodies("POST"), [json!({"to": "v2"})]);
    assert!(
        stderr(&rollback).contains("v4 of shop is live"),
        "{}",
        stderr(&rollback)
    );
    let said = stderr(&rollback);
    assert!(
        said.contains("config vars are those of v2 again: GREETING removed, X changed"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
    fake.run(&["rollback", "latest", "-a", "shop"]).code(2);
}

#[test]
fn releases_and_deployments_are_arrays_in_json() {
    let fake = Fake::start();
    fake.get("/apps/shop/releases", &answers::items(&[answers::release(3, true)]))
        .get(
            "/apps/shop/deployments",
            &answers::items(&[answers::deployment("failed")]),
        )
        .get("/apps/shop/releases/v3", &answers::release(3, true));
    assert_eq!(
        json(&fake.run(&["releases", "-a", "shop", "--json"]).code(0))[0]["version"],
        "v3"
    );
    assert_eq!(
        json(&fake.run(&["deployments", "-a", "shop", "--json"]).code(0))[0]["failure"]["code"],
        "wrong_port"
    );
    let info = fake.run(&["releases:info", "v3", "-a", "shop"]).code(0);
    assert!(
        stdout(&info).contains("Process\tweb: node server.js\n"),
        "{}",
        stdout(&info)
    );
}

#[test]
fn ctrl_c_says_that_the_deployment_goes_on() {
    let fake = Fake::start();
    let mut app = answers::app("shop");
    app["repo_url"] = json!("https://example.com/shop.git");
    fake.get("/apps/shop", &app)
        .on(
            "POST /apps/shop/deployments",
            Answer::json(202, &answers::deployment("pending")),
        )
        .on(&format!("GET {}", log()), Answer::events(&answers::line(1, "one")));
    let program = assert_cmd::cargo::cargo_bin("windlass");
    let child = std::process::Command::new(program)
        .args(["deploy", "--ref", "main", "-a", "shop"])
        .envs([("WINDLASS_URL", fake.url.as_str()), ("WINDLASS_TOKEN", support::TOKEN)])
        .env("HOME", fake.folder.path())
        .current_dir(fake.work())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Once it connects for the second time, it follows for sure.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while fake
        .seen()
        .iter()
        .filter(|request| request.target.ends_with("/log"))
        .count()
        < 2
    {
        assert!(std::time::Instant::now() < deadline, "it did not follow");
        std::thread::yield_now();
    }
    std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("goes on") && said.contains("deployments cancel"),
        "{said}"
    );
}
