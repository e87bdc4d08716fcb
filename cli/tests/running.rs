//! Config vars, logs, instances, and what the program says about itself.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use std::fs;

use serde_json::json;
use support::{
    Answer, Fake,
    answers::{self, DEPLOYMENT},
    json, stderr, stdout,
};

#[test]
fn config_vars_come_from_arguments_files_and_stdin_and_are_deployed() {
    let fake = Fake::start();
    let changed = json!({"version": 2, "vars": {}, "changed": true, "deployment": answers::deployment("pending")});
    fake.on("PATCH /apps/shop/config", Answer::json(200, &changed)).on(
        &format!("GET /apps/shop/deployments/{DEPLOYMENT}/log"),
        Answer::events(&answers::end("succeeded")),
    );
    fs::write(fake.work().join("vars"), "A=file\nB='$HOME'\n").unwrap();
    let set = fake
        .command(&["config:set", "A=x=y", "-", "--file", "vars", "-a", "shop"])
        .write_stdin("C=stdin\n")
        .assert()
        .code(0);
    assert_eq!(fake.bodies("PATCH"), [json!({"A": "x=y", "B": "$HOME", "C": "stdin"})]);
    assert!(stderr(&set).contains("changed A, B, C of shop"), "{}", stderr(&set));
    assert!(!stderr(&set).contains("x=y"));
    fake.run(&["config", "unset", "A", "-a", "shop", "--detach"]).code(0);
    assert_eq!(fake.bodies("PATCH")[1], json!({"A": null}));
    let mistake = fake
        .run(&["config", "set", "secret-without-name", "-a", "shop"])
        .code(2);
    assert!(!stderr(&mistake).contains("secret-without-name"));
}

#[test]
fn a_change_whose_deployment_failed_is_kept_and_it_says_so() {
    let fake = Fake::start();
    let changed = json!({"version": 2, "vars": {}, "changed": true, "deployment": answers::deployment("pending")});
    fake.on("PATCH /apps/shop/config", Answer::json(200, &changed))
        .get("/apps/shop", &answers::app("shop"))
        .on(
            &format!("GET /apps/shop/deployments/{DEPLOYMENT}/log"),
            Answer::events(&answers::end("failed")),
        );
    let said = |args: &[&str]| stderr(&fake.run(&[args, &["-a", "shop"]].concat()).code(6));
    let set = said(&["config", "set", "MODE=x"]);
    assert!(set.contains("MODE is kept, but v3 without it is still live"), "{set}");
    let unset = said(&["config", "unset", "MODE", "OLD"]);
    assert!(
        unset.contains("MODE, OLD stay removed, but v3 with them is still live"),
        "{unset}"
    );
}

#[test]
fn config_vars_are_shown() {
    let fake = Fake::start();
    fake.get(
        "/apps/shop/config",
        &json!({"version": 1, "vars": {"A": "1", "B": "x\ny"}}),
    );
    assert_eq!(stdout(&fake.run(&["config", "-a", "shop"]).code(0)), "A\t1\nB\tx\\ny\n");
    assert_eq!(
        stdout(&fake.run(&["config", "get", "B", "-a", "shop"]).code(0)),
        "x\ny\n"
    );
    fake.run(&["config", "get", "C", "-a", "shop"]).code(3);
    let list = json(&fake.run(&["config", "-a", "shop", "--json"]).code(0));
    assert_eq!(list[0], json!({"key": "A", "value": "1"}));
}

fn log_line(id: i64) -> serde_json::Value {
    json!({"id": id, "at": "2026-11-21T10:00:00.5Z", "process": "web", "instance": "web.1", "stream": "stdout",
           "text": format!("\u{1b}[31mline\u{1b}[0m\u{1b}[2J {id}")})
}

#[test]
fn logs_are_lines_or_documents() {
    let fake = Fake::start();
    fake.get("/apps/shop/logs", &json!({"items": [log_line(1), log_line(2)]}));
    let logs = fake.run(&["logs", "-n", "5", "-p", "web", "-a", "shop"]).code(0);
    assert_eq!(
        stdout(&logs),
        "2026-11-21T10:00:00.500Z web.1 | line 1\n2026-11-21T10:00:00.500Z web.1 | line 2\n"
    );
    assert_eq!(fake.seen()[0].target, "/api/v1/apps/shop/logs?lines=5&process=web");
    let logs = stdout(&fake.run(&["logs", "--json", "-a", "shop"]).code(0));
    let documents: Vec<serde_json::Value> = logs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(documents, [log_line(1), log_line(2)]);
    let logs = stdout(&fake.run(&["logs", "--color", "always", "-a", "shop"]).code(0));
    assert!(
        logs.contains("\u{1b}[31mline\u{1b}[0m 1") && !logs.contains("\u{1b}[2J"),
        "{logs:?}"
    );
}

#[test]
fn a_tail_does_not_repeat_lines_after_a_reconnect() {
    let fake = Fake::start();
    let event = |id: i64| format!("id: {id}\nevent: line\ndata: {}\n\n", log_line(id));
    fake.on(
        "GET /apps/shop/logs",
        Answer::events(&[event(1), event(2)].concat()).cut(),
    )
    .on(
        "GET /apps/shop/logs",
        Answer::events(&[event(2), event(3), "event: end\ndata: {}\n\n".to_owned()].concat()),
    );
    let tail = fake.run(&["logs", "-t", "--json", "-a", "shop"]).code(0);
    assert_eq!(stdout(&tail).lines().count(), 3);
    assert_eq!(fake.seen()[1].last_event_id.as_deref(), Some("2"));
}

#[test]
fn scaling_counts_from_what_is_there_and_prints_a_line_to_paste_back() {
    let fake = Fake::start();
    let formation = json!({"items": [{"process": "web", "quantity": 1, "command": null},
                                     {"process": "worker", "quantity": 2, "command": {"shell": "work"}}]});
    fake.get("/apps/shop/formation", &formation)
        .on("PATCH /apps/shop/formation", Answer::json(200, &formation));
    assert_eq!(
        stdout(&fake.run(&["ps", "scale", "-a", "shop"]).code(0)),
        "web=1 worker=2\n"
    );
    fake.run(&["ps:scale", "web=3", "worker+1", "-a", "shop", "--detach"])
        .code(0);
    assert_eq!(fake.bodies("PATCH"), [json!({"web": 3, "worker": 3})]);
    fake.run(&["ps", "scale", "web:3", "-a", "shop"]).code(2);
    fake.run(&["ps", "--all", "scale", "web=3", "-a", "shop"]).code(2);
}

#[test]
fn instances_are_listed_and_restarted() {
    let fake = Fake::start();
    fake.get("/apps/shop", &answers::app("shop"))
        .get("/apps/shop/instances", &json!({"items": [answers::instance("web.1")]}))
        .on("POST /apps/shop/restart", Answer::json(202, &formation(1)));
    assert_eq!(
        json(&fake.run(&["ps", "-a", "shop", "--json"]).code(0))[0]["name"],
        "web.1"
    );
    assert!(stdout(&fake.run(&["ps", "-a", "shop"]).code(0)).starts_with("web.1\thealthy\tpassing\tv3\t"));
    fake.run(&["ps", "restart", "web", "-a", "shop", "--detach"]).code(0);
    assert_eq!(fake.bodies("POST"), [json!({"process": "web"})]);
}

#[test]
fn what_has_ended_is_listed_on_request() {
    let fake = Fake::start();
    let mut gone = answers::instance("web.1");
    gone["state"] = json!("stopped");
    fake.get("/apps/shop", &answers::app("shop"))
        .get("/apps/shop/instances", &json!({"items": [gone]}));
    for command in [&["ps", "--all"][..], &["ps", "list", "--all"]] {
        let run = fake.run(&[command, &["-a", "shop"]].concat());
        assert!(stdout(&run.code(0)).starts_with("web.1\tstopped\t"));
    }
    let asked = fake.seen().into_iter().map(|request| request.target);
    assert_eq!(
        asked.filter(|target| target.ends_with("/instances?all=true")).count(),
        2
    );
}

fn formation(quantity: u32) -> serde_json::Value {
    json!({"items": [{"process": "web", "quantity": quantity, "command": null}]})
}

fn instances(of: &[(&str, &str)]) -> serde_json::Value {
    let items = of.iter().map(|(id, state)| {
        let mut instance = answers::instance("web.1");
        instance["id"] = json!(id);
        instance["state"] = json!(state);
        instance
    });
    json!({"items": items.collect::<Vec<_>>()})
}

#[test]
fn scaling_waits_until_the_instances_are_healthy() {
    let fake = Fake::start();
    fake.get("/apps/shop", &answers::app("shop"))
        .get("/apps/shop/formation", &formation(1))
        .on("PATCH /apps/shop/formation", Answer::json(200, &formation(2)))
        .get("/apps/shop/instances", &instances(&[("a", "healthy")]))
        .get(
            "/apps/shop/instances",
            &instances(&[("a", "healthy"), ("b", "starting")]),
        )
        .on("GET /apps/shop/instances", Answer::empty(503))
        .get(
            "/apps/shop/instances",
            &instances(&[("a", "healthy"), ("b", "healthy")]),
        );
    let scale = fake.run(&["ps", "scale", "web=2", "-a", "shop"]).code(0);
    assert!(stderr(&scale).contains("scaled shop: web=2"), "{}", stderr(&scale));
    let looks = fake.seen().into_iter();
    assert_eq!(
        looks.filter(|request| request.target.ends_with("/instances")).count(),
        4
    );
}

#[test]
fn a_restart_waits_until_others_serve() {
    let fake = Fake::start();
    fake.get("/apps/shop", &answers::app("shop"))
        .on("POST /apps/shop/restart", Answer::json(202, &formation(1)))
        .get("/apps/shop/instances", &instances(&[("a", "healthy")]))
        .get(
            "/apps/shop/instances",
            &instances(&[("a", "healthy"), ("b", "healthy")]),
        )
        .get(
            "/apps/shop/instances",
            &instances(&[("a", "draining"), ("b", "healthy")]),
        );
    let restart = fake.run(&["ps", "restart", "-a", "shop"]).code(0);
    assert!(
        stderr(&restart).contains("restarted all instances of shop"),
        "{}",
        stderr(&restart)
    );
    assert_eq!(fake.seen().last().unwrap().target, "/api/v1/apps/shop/instances");
}

#[test]
fn there_is_nothing_to_wait_for_before_the_first_release() {
    let fake = Fake::start();
    let mut app = answers::app("shop");
    app["release"] = json!(null);
    fake.get("/apps/shop", &app)
        .get("/apps/shop/formation", &formation(1))
        .get("/apps/shop/instances", &instances(&[]))
        .on("PATCH /apps/shop/formation", Answer::json(200, &formation(2)));
    let scale = fake.run(&["ps", "scale", "web=2", "-a", "shop"]).code(0);
    assert!(stderr(&scale).contains("once it is deployed"), "{}", stderr(&scale));
}

#[test]
fn the_status_is_seen_at_a_glance() {
    let fake = Fake::start();
    fake.get("/apps/shop", &answers::app("shop"))
        .get(
            "/apps/shop/deployments",
            &answers::items(&[answers::deployment("failed")]),
        )
        .get("/apps/shop/instances", &json!({"items": [answers::instance("web.1")]}));
    let status = stdout(&fake.run(&["status", "-a", "shop"]).code(0));
    assert!(
        status.contains("Status\tlive\n") && status.contains("failed: the app listens"),
        "{status}"
    );
    assert_eq!(
        json(&fake.run(&["status", "-a", "shop", "--json"]).code(0))["app"]["name"],
        "shop"
    );
    assert_eq!(
        stdout(&fake.run(&["open", "-a", "shop"]).code(0)),
        "http://shop.apps.example.com\n"
    );
}

#[test]
fn the_webhook_is_shown_and_its_secret_set() {
    let fake = Fake::start();
    let webhook = json!({"url": "https://windlass.example.com/webhooks/github", "secret": "0123456789abcdef"});
    let mut app = answers::app("shop");
    app["repo_url"] = json!("https://example.com/shop.git");
    fake.get("/apps/shop", &answers::app("shop"))
        .get("/apps/shop", &app)
        .get("/apps/shop/webhook", &webhook)
        .on("PUT /apps/shop/webhook", Answer::json(200, &webhook));
    let show = fake.run(&["webhook", "-a", "shop"]).code(0);
    assert!(
        stderr(&show).contains("apps update shop --repo-url URL"),
        "{}",
        stderr(&show)
    );
    let show = fake.run(&["webhook", "-a", "shop"]).code(0);
    assert!(
        stdout(&show).contains("Secret\t0123456789abcdef\n"),
        "{}",
        stdout(&show)
    );
    assert!(stderr(&show).contains("Give both to the forge"), "{}", stderr(&show));
    fake.command(&["webhook", "set-secret", "-", "-a", "shop"])
        .write_stdin("fedcba9876543210\n")
        .assert()
        .code(0);
    assert_eq!(fake.bodies("PUT"), [json!({"secret": "fedcba9876543210"})]);
}

#[test]
fn git_gets_the_token_for_the_server_and_for_no_other() {
    let fake = Fake::start();
    let host = fake.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let ask = |operation: &str, protocol: &str, host: &str| {
        let asked = format!("protocol={protocol}\nhost={host}\n\n");
        let mut command = fake.command(&["git-credential", operation]);
        stdout(&command.write_stdin(asked).assert().code(0))
    };
    assert_eq!(ask("get", "http", &host), "username=windlass\npassword=wl_test\n");
    assert_eq!(ask("get", "https", &host), "");
    assert_eq!(ask("get", "http", "127.0.0.1:1"), "");
    assert_eq!(ask("get", "http", "evil.example"), "");
    assert_eq!(ask("store", "http", &host), "");
    assert_eq!(ask("erase", "http", &host), "");
}

#[test]
fn the_program_explains_itself() {
    let fake = Fake::start();
    assert!(stdout(&fake.bare_command(&["help", "exit-codes"]).assert().code(0)).contains("130"));
    assert!(stdout(&fake.bare_command(&["--version"]).assert().code(0)).starts_with("windlass 0."));
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = stdout(&fake.bare_command(&["completion", shell]).assert().code(0));
        assert!(script.contains("rollback"), "{shell}");
    }
    assert!(stdout(&fake.bare_command(&["man"]).assert().code(0)).contains(".TH windlass 1"));
    fake.bare_command(&["man", "pages"]).assert().code(0);
    assert!(fake.work().join("pages/windlass-config-set.1").exists());
    let mistake = fake.bare_command(&["confg"]).assert().code(2);
    assert!(stderr(&mistake).contains("'config'"), "{}", stderr(&mistake));
}

#[test]
fn the_reference_in_the_book_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/cli.md");
    let written = fs::read_to_string(path).unwrap();
    let update = "cargo run -p windlass-cli --example cli-reference > docs/reference/cli.md";
    assert!(written == windlass_cli::reference::markdown(), "run: {update}");
}

#[test]
fn the_answers_of_these_tests_are_those_of_the_api() {
    use windlass_api_types as api;
    serde_json::from_value::<api::App>(answers::app("shop")).unwrap();
    serde_json::from_value::<api::Account>(answers::account()).unwrap();
    serde_json::from_value::<api::Release>(answers::release(3, true)).unwrap();
    serde_json::from_value::<api::Instance>(answers::instance("web.1")).unwrap();
    serde_json::from_value::<api::Problem>(answers::not_found()).unwrap();
    for status in ["pending", "succeeded", "failed"] {
        serde_json::from_value::<api::Deployment>(answers::deployment(status)).unwrap();
    }
}
