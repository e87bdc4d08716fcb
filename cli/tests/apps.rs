//! Apps: how they are named, shown, changed and destroyed.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use serde_json::json;
use support::{Answer, Fake, answers, json, stderr, stdout};

#[test]
fn lists_are_arrays_in_json_and_tabs_in_a_pipe() {
    let fake = Fake::start();
    fake.get("/apps", &answers::items(&[answers::app("shop")]));
    let list = fake.run(&["apps", "--json"]).code(0);
    assert_eq!(json(&list)[0], answers::app("shop"));
    assert_eq!(
        stdout(&fake.run(&["apps"]).code(0)),
        "shop\tlive\tv3\thttp://shop.apps.example.com\n"
    );
}

#[test]
fn long_lists_are_read_page_by_page() {
    let fake = Fake::start();
    fake.on(
        "GET /apps",
        Answer::json(200, &json!({"items": [answers::app("one")], "next": "c/1"})),
    )
    .on("GET /apps", Answer::json(200, &answers::items(&[answers::app("two")])));
    assert_eq!(
        json(&fake.run(&["apps", "--json"]).code(0)).as_array().unwrap().len(),
        2
    );
    assert!(fake.seen()[1].target.contains("cursor=c%2F1"));
}

#[test]
fn the_app_comes_from_the_flag_then_the_environment_then_the_git_remote() {
    let fake = Fake::start();
    fake.repository();
    fake.remote("origin", "git@github.com:acme/shop.git");
    fake.remote("windlass", &format!("{}git/remote.git", fake.url));
    for name in ["flag", "env", "remote"] {
        fake.get(&format!("/apps/{name}"), &answers::app(name));
    }
    let name = |command: &mut assert_cmd::Command| json(&command.assert().code(0))["name"].clone();
    let info = ["apps", "info", "--json"];
    assert_eq!(name(&mut fake.command(&info)), "remote");
    assert_eq!(name(fake.command(&info).env("WINDLASS_APP", "env")), "env");
    assert_eq!(
        name(
            fake.command(&["-a", "flag", "apps:info", "--json"])
                .env("WINDLASS_APP", "env")
        ),
        "flag"
    );
}

#[test]
fn without_an_app_it_says_how_to_name_one() {
    let fake = Fake::start();
    let ps = fake.run(&["ps"]).code(2);
    assert!(stderr(&ps).contains("-a NAME"), "{}", stderr(&ps));
}

#[test]
fn a_new_app_becomes_a_remote_and_git_gets_the_token_from_windlass() {
    let fake = Fake::start();
    fake.repository();
    let bare = fake.serve_git("shop");
    fake.on("POST /apps", Answer::json(201, &answers::app("shop")));
    let create = fake
        .run(&["apps", "create", "shop", "--port", "3000", "--build-arg", "A=b=c"])
        .code(0);
    assert_eq!(stdout(&create), "http://shop.apps.example.com\n");
    let body = json!({"name": "shop", "port": 3000, "build": {"args": {"A": "b=c"}}});
    assert_eq!(fake.bodies("POST"), std::slice::from_ref(&body));
    serde_json::from_value::<windlass_api_types::CreateApp>(body).unwrap();
    assert!(
        stderr(&create).contains("added git remote windlass"),
        "{}",
        stderr(&create)
    );
    // The user's own git, told by nothing but the repository's configuration.
    let push = std::process::Command::new("git")
        .args(["push", "--quiet", "windlass", "HEAD:main"])
        .current_dir(fake.work())
        .env("HOME", fake.folder.path())
        .env("WINDLASS_URL", &fake.url)
        .env("WINDLASS_TOKEN", support::TOKEN)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("http_proxy", "http://127.0.0.1:9")
        .output()
        .unwrap();
    assert!(push.status.success(), "{}", String::from_utf8_lossy(&push.stderr));
    assert_eq!(
        support::git(&bare, &["rev-parse", "main"]),
        support::git(&fake.work(), &["rev-parse", "HEAD"])
    );
    // A second time nothing is added twice.
    fake.get("/apps/shop", &answers::app("shop"));
    fake.run(&["git", "remote"]).code(0);
    let config = support::git(&fake.work(), &["config", "--local", "--list"]);
    assert_eq!(config.matches("git-credential").count(), 1, "{config}");
}

#[test]
fn a_remote_that_is_there_already_is_left_alone() {
    let fake = Fake::start();
    fake.repository();
    fake.remote("windlass", "https://elsewhere.example/git/x.git");
    fake.on("POST /apps", Answer::json(201, &answers::app("shop")));
    let create = fake.run(&["apps", "create", "shop"]).code(0);
    assert!(stderr(&create).contains("left alone"), "{}", stderr(&create));
    let url = support::git(&fake.work(), &["remote", "get-url", "windlass"]);
    assert_eq!(url, "https://elsewhere.example/git/x.git");
}

#[test]
fn settings_are_changed_and_reset_one_by_one() {
    let fake = Fake::start();
    fake.get("/apps/shop", &answers::app("shop"))
        .on("PATCH /apps/shop", Answer::json(200, &answers::app("shop")));
    fake.run(&[
        "apps",
        "update",
        "shop",
        "--memory",
        "1GiB",
        "--build-arg",
        "B=2",
        "--reset",
        "health-path",
    ])
    .code(0);
    let body =
        json!({"limits": {"memory_bytes": 1 << 30}, "build": {"args": {"A": "1", "B": "2"}}, "health": {"path": null}});
    assert_eq!(fake.bodies("PATCH"), std::slice::from_ref(&body));
    serde_json::from_value::<windlass_api_types::UpdateApp>(body).unwrap();
    fake.run(&["apps", "update", "shop"]).code(2);
}

#[test]
fn every_setting_of_the_api_has_a_flag() {
    let fake = Fake::start();
    let mut app = answers::app("shop");
    app["build"]["config_args"] = json!(["REGISTRY"]);
    fake.get("/apps/shop", &app)
        .on("PATCH /apps/shop", Answer::json(200, &app));
    let flags =
        "--submodules --build-timeout 45m --config-arg MIRROR --pids 64 --health-timeout 3s --health-deadline 90";
    let update = ["apps", "update", "shop"].into_iter().chain(flags.split(' '));
    fake.run(&update.collect::<Vec<_>>()).code(0);
    let body = json!({
        "build": {"submodules": true, "timeout_seconds": 2700, "config_args": ["REGISTRY", "MIRROR"]},
        "health": {"timeout_ms": 3000, "deadline_seconds": 90}, "limits": {"pids": 64}
    });
    assert_eq!(fake.bodies("PATCH"), std::slice::from_ref(&body));
    serde_json::from_value::<windlass_api_types::UpdateApp>(body).unwrap();
    let resets = [
        "submodules",
        "build-timeout",
        "config-args",
        "pids",
        "health-timeout",
        "health-deadline",
    ];
    let resets = resets.into_iter().flat_map(|setting| ["--reset", setting]);
    let update: Vec<&str> = ["apps", "update", "shop"].into_iter().chain(resets).collect();
    fake.run(&update).code(0);
    let body = json!({
        "build": {"submodules": null, "timeout_seconds": null, "config_args": null},
        "health": {"timeout_ms": null, "deadline_seconds": null}, "limits": {"pids": null}
    });
    assert_eq!(fake.bodies("PATCH")[1], body);
}

#[test]
fn an_app_with_a_repository_of_its_own_is_deployed_from_there_next() {
    let fake = Fake::start();
    let mut app = answers::app("far");
    app["repo_url"] = json!("https://example.com/far.git");
    app["branch"] = json!("live");
    fake.on("PATCH /apps/far", Answer::json(200, &app));
    let update = ["apps", "update", "far", "--repo-url", "https://example.com/far.git"];
    let said = stderr(&fake.run(&update).code(0));
    assert!(said.ends_with("Next: windlass deploy --ref live -a far\n"), "{said}");
}

#[test]
fn a_problem_of_one_field_is_told_once() {
    let fake = Fake::start();
    let mut problem = answers::problem(422, "invalid_request", "must be from 8 to 1000000");
    problem["errors"] = json!([{"pointer": "/limits/pids", "detail": "must be from 8 to 1000000"}]);
    fake.on("POST /apps", Answer::json(422, &problem));
    let create = fake.run(&["apps", "create", "shop", "--pids", "1"]).code(1);
    assert_eq!(stderr(&create), "Error: limits.pids must be from 8 to 1000000\n");
}

#[test]
fn destroying_needs_the_name_and_waits_until_it_is_gone() {
    let fake = Fake::start();
    fake.on("DELETE /apps/shop", Answer::json(202, &answers::app("shop")))
        .get("/apps/shop", &answers::app("shop"))
        .get("/apps/shop", &answers::app("shop"))
        .on("GET /apps/shop", Answer::json(404, &answers::not_found()));
    fake.run(&["apps", "destroy", "shop"]).code(2);
    fake.run(&["apps", "destroy", "shop", "--confirm", "ship"]).code(2);
    assert!(fake.seen().is_empty());
    let destroy = fake.run(&["apps:destroy", "shop", "--confirm", "shop"]).code(0);
    assert!(stderr(&destroy).contains("destroyed app shop"), "{}", stderr(&destroy));
    assert!(fake.seen().len() >= 4);
}

#[test]
fn problems_are_shown_with_their_fields_and_keep_their_exit_codes() {
    let fake = Fake::start();
    let mut taken = answers::problem(409, "name_taken", "the name `shop` is taken");
    taken["errors"] = json!([{"pointer": "/name", "detail": "is taken\u{1b}[2J"}]);
    taken["next_step"] = json!("choose another name");
    fake.on("POST /apps", Answer::json(409, &taken));
    let create = fake.run(&["apps", "create", "shop"]).code(5);
    let said = "Error: the name `shop` is taken\n  name is taken\nNext: choose another name\n";
    assert_eq!(stderr(&create), said);
    let create = fake.run(&["apps", "create", "shop", "--json"]).code(5);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&stderr(&create)).unwrap(),
        taken
    );
    fake.run(&["apps", "info", "nothing"]).code(3);
    fake.run(&["apps", "create", "No_Label"]).code(2);
    fake.run(&["apps", "--nonsense"]).code(2);
    let gone = fake
        .command(&["apps", "--json"])
        .env("WINDLASS_URL", "http://127.0.0.1:9")
        .assert()
        .code(7);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&stderr(&gone)).unwrap()["code"],
        "unreachable"
    );
}
