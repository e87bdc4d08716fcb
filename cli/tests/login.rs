//! Logging in, and which server and token are used afterwards.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::json;
use support::{Answer, Fake, answers, json, stderr, stdout};

#[test]
fn a_token_from_stdin_is_checked_and_kept_for_its_owner_only() {
    let fake = Fake::start();
    fake.get("/account", &answers::account());
    let login = fake
        .bare_command(&["login", &fake.url, "--token", "-"])
        .write_stdin("wl_mine\n")
        .assert()
        .code(0);
    assert!(stderr(&login).contains("logged in to 127.0.0.1:"), "{}", stderr(&login));
    assert_eq!(fake.seen()[0].token.as_deref(), Some("wl_mine"));
    let credentials = fake.settings().join("credentials.toml");
    assert_eq!(fs::metadata(&credentials).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(credentials).unwrap().contains("wl_mine"));
    let whoami = fake.bare_command(&["whoami", "--json"]).assert().code(0);
    assert_eq!(json(&whoami)["token"]["name"], "laptop");
}

#[test]
fn a_setup_token_is_traded_for_an_api_token() {
    let fake = Fake::start();
    let set_up = json!({"token": "wl_new", "team": "team_018f3a5e7b7c7d3f9a1b2c3d4e5f6071"});
    fake.on("POST /setup", Answer::json(201, &set_up))
        .get("/account", &answers::account());
    fake.bare_command(&["login", &fake.url, "--setup-token", "-"])
        .write_stdin("wls_once")
        .assert()
        .code(0);
    let seen = fake.seen();
    assert_eq!(seen[0].body, json!({"setup_token": "wls_once"}));
    assert_eq!(seen[0].token, None);
    assert_eq!(seen[1].token.as_deref(), Some("wl_new"));
}

#[test]
fn a_wrong_token_is_refused_and_not_kept() {
    let fake = Fake::start();
    fake.on(
        "GET /account",
        Answer::json(401, &answers::problem(401, "unauthorized", "the token is not valid")),
    );
    let login = fake
        .bare_command(&["login", &fake.url])
        .env("WINDLASS_TOKEN", "wl_bad")
        .assert()
        .code(4);
    assert!(
        stderr(&login).contains("does not accept this token"),
        "{}",
        stderr(&login)
    );
    assert!(!fake.settings().exists());
}

#[test]
fn without_a_terminal_nothing_is_asked() {
    let fake = Fake::start();
    let login = fake.bare_command(&["login", &fake.url]).assert().code(2);
    assert!(stderr(&login).contains("--token -"), "{}", stderr(&login));
    fake.bare_command(&["apps"]).assert().code(4);
}

#[test]
fn contexts_switch_and_a_token_never_goes_to_another_server() {
    let (one, two) = (Fake::start(), Fake::start());
    for (fake, token) in [(&one, "wl_1"), (&two, "wl_2")] {
        fake.get("/account", &answers::account())
            .get("/apps", &answers::items(&[]));
        one.bare_command(&["login", &fake.url])
            .env("WINDLASS_TOKEN", token)
            .assert()
            .code(0);
    }
    let name = one.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    one.bare_command(&["context", "use", &name]).assert().code(0);
    one.bare_command(&["apps"]).assert().code(0);
    assert_eq!(one.seen().last().unwrap().token.as_deref(), Some("wl_1"));
    one.bare_command(&["apps", "--server", &two.url]).assert().code(0);
    assert_eq!(two.seen().last().unwrap().token.as_deref(), Some("wl_2"));
    let three = Fake::start();
    one.bare_command(&["apps"])
        .env("WINDLASS_URL", &three.url)
        .assert()
        .code(4);
    assert!(three.seen().is_empty());
    let list = one.bare_command(&["context", "--json"]).assert().code(0);
    assert_eq!(json(&list).as_array().unwrap().len(), 2);
    one.bare_command(&["context", "use", "nowhere"]).assert().code(3);
}

#[test]
fn logging_out_forgets_the_token() {
    let fake = Fake::start();
    fake.get("/account", &answers::account());
    fake.bare_command(&["login", &fake.url])
        .env("WINDLASS_TOKEN", "wl_1")
        .assert()
        .code(0);
    fake.bare_command(&["logout"]).assert().code(0);
    fake.bare_command(&["whoami"]).assert().code(4);
}

#[test]
fn tokens_are_made_shown_once_and_revoked() {
    let fake = Fake::start();
    let made = json!({"id": "token_1", "name": "ci", "token": "wl_shown", "created_at": "2026-11-21T10:00:00Z"});
    fake.on("POST /tokens", Answer::json(201, &made))
        .on("DELETE /tokens/token_1", Answer::empty(204))
        .get("/account", &answers::account());
    assert_eq!(stdout(&fake.run(&["tokens", "create", "ci"]).code(0)), "wl_shown\n");
    fake.run(&["tokens", "revoke", "token_1"]).code(0);
    fake.run(&["tokens:revoke", "token_018f3a5e7b7c7d3f9a1b2c3d4e5f6071"])
        .code(2);
}
