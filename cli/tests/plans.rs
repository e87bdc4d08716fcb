//! Looking ahead, and seeing how things fare.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::{
    Answer, Fake,
    answers::{self, DEPLOYMENT},
    json, stderr, stdout,
};

fn plan() -> Value {
    json!({
        "app": "shop", "kind": {"type": "fetch", "reference": "v1", "commit": null}, "release": "v4", "live": "v3",
        "image": {"action": "build", "commit": null, "reference": "v1"},
        "config": {"added": ["NEW"], "changed": ["TURNED"], "removed": ["GONE"]},
        "settings": [{"field": "/health/path", "from": null, "to": "/up"}, {"field": "/port", "from": 3000, "to": 8080}],
        "processes": [{"process": "web", "change": "unchanged", "start": 4, "stop": 4, "at_most": 5},
                      {"process": "worker", "change": "removed", "start": 0, "stop": 1, "at_most": 1},
                      {"process": "clock", "change": "added", "start": 0, "stop": 0, "at_most": 0}],
        "processes_assumed": true,
        "routes": [{"host": "shop.apps.example.com", "path": "/", "process": "web", "change": "unchanged"}],
        "downtime": {"expected": "yes", "reason": "all of v3 ends before v4 starts", "seconds": 3, "last_starts_ms": [2100]},
        "warnings": ["the release command runs before"]
    })
}

const DEPLOYMENTS: &str = "POST /apps/shop/deployments";

#[test]
fn a_plan_is_a_line_for_each_thing_that_changes() {
    let fake = Fake::start();
    fake.on(DEPLOYMENTS, Answer::json(200, &plan()));
    let planned = fake.run(&["plan", "--ref", "v1", "-a", "shop"]).code(0);
    let lines = [
        "~\timage\t-\tbuilt from v1",
        "+\tconfig var\tNEW\tnew",
        "~\tconfig var\tTURNED\tchanged",
        "-\tconfig var\tGONE\tgone",
        "~\tsetting\thealth.path\t- → /up",
        "~\tsetting\tport\t3000 → 8080",
        "~\tprocess\tweb\t4 start, 4 stop, 5 at once at most",
        "-\tprocess\tworker\t1 stop",
        "+\tprocess\tclock\tno instances",
        "=\troute\tshop.apps.example.com\t→ web, as before",
        "!\tdowntime\tabout 3 s\tall of v3 ends before v4 starts",
    ];
    assert_eq!(stdout(&planned), lines.join("\n") + "\n");
    let said = stderr(&planned);
    assert!(said.contains("v4 of shop would take the place of v3"), "{said}");
    assert!(said.contains("Warning: the release command runs before"), "{said}");
    assert!(
        said.contains("are assumed") && said.contains("windlass deploy --ref v1 -a shop"),
        "{said}"
    );
    assert!(fake.seen()[0].target.ends_with("/deployments?dry_run=true"));
    assert_eq!(fake.bodies("POST"), [json!({"ref": "v1"})]);
    let whole = fake.run(&["plan", "--ref", "v1", "-a", "shop", "--json"]).code(0);
    assert_eq!(json(&whole), plan());
    serde_json::from_value::<windlass_api_types::DeploymentPlan>(plan()).unwrap();
}

#[test]
fn a_plan_of_this_directory_pushes_nothing() {
    let fake = Fake::start();
    let commit = fake.repository();
    fake.on(DEPLOYMENTS, Answer::json(200, &plan()));
    fake.run(&["plan", "-a", "shop"]).code(0);
    let seen = fake.seen();
    assert_eq!(seen.len(), 1);
    assert!(
        seen[0].target.ends_with("?dry_run=true&unpushed=true"),
        "{}",
        seen[0].target
    );
    assert_eq!(fake.bodies("POST"), [json!({"commit": commit})]);
}

#[test]
fn a_plan_of_a_rollback_asks_for_the_rollback() {
    let fake = Fake::start();
    let mut back = plan();
    back["image"] = json!({"action": "reuse", "release": "v2", "commit": "0123456789abcdef0123456789abcdef01234567"});
    fake.on("POST /apps/shop/rollback", Answer::json(200, &back));
    let planned = fake.run(&["plan", "--rollback", "v2", "-a", "shop"]).code(0);
    assert!(
        stdout(&planned).starts_with("=\timage\t-\tthat of v2 (01234567); nothing is built\n"),
        "{}",
        stdout(&planned)
    );
    assert!(stderr(&planned).contains("windlass rollback v2 -a shop"));
    fake.run(&["plan", "--rollback", "-a", "shop"]).code(0);
    assert_eq!(fake.bodies("POST"), [json!({"to": "v2"}), json!({})]);
    fake.run(&["plan", "--rollback", "v2", "--ref", "main", "-a", "shop"])
        .code(2);
}

#[test]
fn a_plan_does_not_change_the_apps_repository() {
    let fake = Fake::start();
    let mut app = answers::app("shop");
    app["repo_url"] = json!("https://example.com/shop.git");
    fake.get("/apps/shop", &app).on(DEPLOYMENTS, Answer::json(200, &plan()));
    fake.run(&["plan", "https://example.com/shop.git", "-a", "shop"])
        .code(0);
    let other = fake
        .run(&["plan", "https://example.com/other.git", "-a", "shop"])
        .code(2);
    assert!(
        stderr(&other).contains("windlass apps update shop --repo-url"),
        "{}",
        stderr(&other)
    );
    assert_eq!(fake.bodies("PATCH").len(), 0);
}

#[test]
fn a_plan_is_refused_with_the_servers_reason() {
    let fake = Fake::start();
    fake.on(
        DEPLOYMENTS,
        Answer::json(409, &answers::problem(409, "app_deleting", "the app is being deleted")),
    );
    let refused = fake.run(&["plan", "--ref", "v1", "-a", "shop"]).code(5);
    assert!(stderr(&refused).contains("the app is being deleted"));
}

#[test]
fn a_coming_downtime_is_told_before_the_deployment_is_followed() {
    let fake = Fake::start();
    let mut app = answers::app("shop");
    app["repo_url"] = json!("https://example.com/shop.git");
    let mut begun = answers::deployment("pending");
    begun["warnings"] = json!(["nothing answers for about 3 s"]);
    let stream = [answers::line(1, "-----> Building"), answers::end("succeeded")].concat();
    fake.get("/apps/shop", &app)
        .on(DEPLOYMENTS, Answer::json(202, &begun))
        .on(
            &format!("GET /apps/shop/deployments/{DEPLOYMENT}/log"),
            Answer::events(&stream),
        );
    let said = stderr(&fake.run(&["deploy", "--ref", "v1", "-a", "shop"]).code(0));
    let (warning, building) = (
        said.find("Warning: nothing answers for about 3 s"),
        said.find("Building"),
    );
    assert!(warning.is_some() && warning < building, "{said}");
}

#[test]
fn checks_strategy_and_watch_have_flags() {
    let fake = Fake::start();
    fake.get("/apps/shop", &answers::app("shop"))
        .on("PATCH /apps/shop", Answer::json(200, &answers::app("shop")));
    let flags = "--health-path /up --health-status 200-399 --health-interval 1m --health-retries 5 --strategy blue-green \
                 --watch-seconds 0 --watch-crashes 3 --watch-error-percent 10 --watch-min-requests 50 \
                 --process-health worker:port=9000,status=200,204 --no-process-health clock";
    let update = ["apps", "update", "shop"].into_iter().chain(flags.split_whitespace());
    fake.run(&update.collect::<Vec<_>>()).code(0);
    let body = json!({
        "health": {"path": "/up", "status": "200-399", "interval_seconds": 60, "retries": 5},
        "process_health": {"worker": {"port": 9000, "status": "200,204"}, "clock": null}, "strategy": "blue_green",
        "watch": {"seconds": 0, "crashes": 3, "error_percent": 10, "min_requests": 50}
    });
    assert_eq!(fake.bodies("PATCH"), std::slice::from_ref(&body));
    serde_json::from_value::<windlass_api_types::UpdateApp>(body).unwrap();
    let resets = "health-status health-interval health-retries process-health strategy watch-seconds watch-crashes \
                  watch-error-percent watch-min-requests";
    let reset = resets.split_whitespace().flat_map(|setting| ["--reset", setting]);
    fake.run(&["apps", "update", "shop"].into_iter().chain(reset).collect::<Vec<_>>())
        .code(0);
    let body = json!({
        "health": {"status": null, "interval_seconds": null, "retries": null}, "process_health": null, "strategy": null,
        "watch": {"seconds": null, "crashes": null, "error_percent": null, "min_requests": null}
    });
    assert_eq!(fake.bodies("PATCH")[1], body);
    serde_json::from_value::<windlass_api_types::UpdateApp>(body).unwrap();
    for wrong in [
        ["--health-status", "2xx"],
        ["--process-health", "worker"],
        ["--strategy", "fast"],
    ] {
        fake.run(&[&["apps", "update", "shop"][..], &wrong].concat()).code(2);
    }
}

#[test]
fn a_process_type_that_ends_again_and_again_is_shown_once_with_its_reason() {
    let fake = Fake::start();
    let mut app = answers::app("shop");
    app["status"] = json!("crash_looping");
    app["strategy"] = json!("blue_green");
    app["crash_loops"] = json!([{"process": "web", "release": "v3", "crashes": 4, "reason": "out of memory", "exit_code": 137,
                                 "last_at": "2026-11-21T10:00:00Z"}]);
    let ended = |n: u32, process: &str| {
        let mut instance = answers::instance(&format!("{process}.{n}"));
        instance["process"] = json!(process);
        instance["state"] = json!("crashed");
        instance["reason"] = json!("exited with code 1");
        instance["exit_code"] = json!(1);
        instance
    };
    let instances = json!({"items": [ended(1, "web"), ended(2, "web"), ended(1, "worker")]});
    fake.get("/apps/shop", &app)
        .get("/apps/shop/instances", &instances)
        .get("/apps/shop/deployments", &answers::items(&[]))
        .get("/apps", &answers::items(std::slice::from_ref(&app)));
    let ps = fake.run(&["ps", "-a", "shop"]).code(0);
    let lines: Vec<String> = stdout(&ps).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("web\tcrash-looping\t-\tv3\t"), "{lines:?}");
    assert!(
        lines[0].ends_with("\tended 4 times within 20 min, the last: out of memory, exit code 137"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("worker.1\tcrashed") && lines[1].ends_with("\texited with code 1"),
        "{lines:?}"
    );
    let status = stdout(&fake.run(&["status", "-a", "shop"]).code(0));
    assert!(status.contains("Status\tcrash-looping\n"), "{status}");
    assert!(
        status.contains("Crash loop\tweb ended 4 times within 20 min, the last: out of memory"),
        "{status}"
    );
    assert!(stdout(&fake.run(&["apps"]).code(0)).contains("shop\tcrash-looping\t"));
    let info = stdout(&fake.run(&["apps", "info", "shop"]).code(0));
    assert!(info.contains("Strategy\tblue-green\n"), "{info}");
}

#[test]
fn releases_that_never_went_live_say_so() {
    let fake = Fake::start();
    let release = |number: u32, live: bool, status: &str| {
        let mut release = answers::release(number, live);
        release["status"] = json!(status);
        release
    };
    let releases = [
        release(4, false, "running"),
        release(3, false, "failed"),
        release(2, true, "succeeded"),
        release(1, false, "succeeded"),
    ];
    fake.get("/apps/shop/releases", &answers::items(&releases));
    let list = stdout(&fake.run(&["releases", "-a", "shop"]).code(0));
    let status: Vec<&str> = list.lines().map(|line| line.split('\t').nth(1).unwrap()).collect();
    assert_eq!(status, ["running", "failed", "live", "-"]);
}

#[test]
fn deployments_say_what_led_to_them_what_took_their_place_and_how_long_each_step_took() {
    let fake = Fake::start();
    let mut watch = answers::deployment("succeeded");
    watch["trigger"] = json!("watch");
    watch["message"] = json!("v4 ended 3 times within 60 s of going live");
    let mut superseded = answers::deployment("superseded");
    superseded["superseded_by"] = json!("dpl_2");
    superseded["steps"] = json!([
        {"step": "build", "attempt": 1, "started_at": "2026-11-21T10:00:01Z", "finished_at": "2026-11-21T10:00:03.5Z", "outcome": "abandoned"},
        {"step": "drain", "attempt": 2, "started_at": "2026-11-21T10:00:04Z", "finished_at": null, "outcome": null}
    ]);
    fake.get("/apps/shop/deployments", &answers::items(&[watch, superseded.clone()]))
        .get(&format!("/apps/shop/deployments/{DEPLOYMENT}"), &superseded);
    let list = stdout(&fake.run(&["deployments", "-a", "shop"]).code(0));
    let lines: Vec<&str> = list.lines().collect();
    assert!(
        lines[0].ends_with("\twatch\tv4 ended 3 times within 60 s of going live"),
        "{list}"
    );
    assert!(lines[1].ends_with("\tapi\tsuperseded by dpl_2"), "{list}");
    let info = stdout(&fake.run(&["deployments", "info", DEPLOYMENT, "-a", "shop"]).code(0));
    assert!(info.contains("Status\tsuperseded by dpl_2\n"), "{info}");
    assert!(info.contains("\nbuild\tabandoned\t2.5 s\t1\t1.0 s\n"), "{info}");
    assert!(
        info.contains("\ndrain\trunning\t") && info.trim_end().ends_with("\t2\t4.0 s"),
        "{info}"
    );
}

const CONFIG: &str = "PATCH /apps/shop/config";

fn config_plan(deployment: &Value) -> Value {
    let names = json!({"added": ["NEW"], "changed": ["TURNED"], "removed": ["GONE"]});
    json!({"app": "shop", "changed": true, "config": names, "deployment": deployment})
}

#[test]
fn a_change_of_config_vars_can_be_looked_at_before() {
    let fake = Fake::start();
    fake.on(CONFIG, Answer::json(200, &config_plan(&plan())));
    let args = ["config", "set", "NEW=hunter2", "--dry-run", "-a", "shop"];
    let planned = fake.run(&args).code(0);
    let table = stdout(&planned);
    assert!(table.contains("+\tconfig var\tNEW\tnew\n~\tconfig var\tTURNED\tchanged\n-\tconfig var\tGONE\tgone\n"));
    assert!(
        table.ends_with("!\tdowntime\tabout 3 s\tall of v3 ends before v4 starts\n"),
        "{table}"
    );
    let said = stderr(&planned);
    assert!(said.contains("v4 of shop would take the place of v3"), "{said}");
    assert!(
        said.contains("Nothing was changed") && !said.contains("hunter2"),
        "{said}"
    );
    assert!(fake.seen()[0].target.ends_with("/config?dry_run=true"));
    assert_eq!(fake.bodies("PATCH"), [json!({"NEW": "hunter2"})]);
    let whole = fake.run(&[&args[..], &["--json"]].concat()).code(0);
    assert_eq!(json(&whole), config_plan(&plan()));
    serde_json::from_value::<windlass_api_types::ConfigPlan>(config_plan(&plan())).unwrap();
    fake.run(&["config", "unset", "GONE", "--dry-run", "-a", "shop"])
        .code(0);
    assert_eq!(fake.bodies("PATCH")[2], json!({"GONE": null}));
    fake.run(&[&args[..], &["--detach"]].concat()).code(2);
}

#[test]
fn a_change_of_config_vars_that_deploys_nothing_says_so() {
    let fake = Fake::start();
    fake.on(CONFIG, Answer::json(200, &config_plan(&Value::Null)));
    let planned = fake.run(&["config", "set", "NEW=1", "--dry-run", "-a", "shop"]).code(0);
    let lines = [
        "+\tconfig var\tNEW\tnew",
        "~\tconfig var\tTURNED\tchanged",
        "-\tconfig var\tGONE\tgone",
    ];
    assert_eq!(stdout(&planned), lines.join("\n") + "\n");
    assert!(stderr(&planned).contains("its first deployment would have it"));

    let fake = Fake::start();
    let nothing = json!({"app": "shop", "changed": false, "config": {"added": [], "changed": [], "removed": []}, "deployment": null});
    fake.on(CONFIG, Answer::json(200, &nothing));
    let planned = fake.run(&["config", "set", "NEW=1", "--dry-run", "-a", "shop"]).code(0);
    assert_eq!(stdout(&planned), "");
    assert!(
        stderr(&planned).contains("nothing would change"),
        "{}",
        stderr(&planned)
    );
}

const SCALE: &str = "PATCH /apps/shop/formation";

/// An app that runs one `web` and two `worker`.
fn scalable() -> Fake {
    let fake = Fake::start();
    let formation = json!({"items": [{"process": "web", "quantity": 1, "command": null},
                                     {"process": "worker", "quantity": 2, "command": null}]});
    fake.get("/apps/shop/formation", &formation);
    fake
}

fn scale_plan() -> Value {
    json!({"app": "shop", "changed": true, "warnings": ["no instance of web would be left: its host answers 503"],
           "processes": [{"process": "web", "from": 1, "to": 0}, {"process": "worker", "from": 2, "to": 3},
                         {"process": "clock", "from": 0, "to": 0}]})
}

#[test]
fn a_scale_can_be_looked_at_before() {
    let fake = scalable();
    fake.on(SCALE, Answer::json(200, &scale_plan()));
    let args = ["ps", "scale", "web=0", "worker+1", "--dry-run", "-a", "shop"];
    let planned = fake.run(&args).code(0);
    assert_eq!(stdout(&planned), "~\tweb\t1\t0\n~\tworker\t2\t3\n=\tclock\t0\t0\n");
    let said = stderr(&planned);
    assert!(
        said.contains("Warning: no instance of web") && said.contains("Nothing was changed"),
        "{said}"
    );
    assert!(fake.seen().last().unwrap().target.ends_with("/formation?dry_run=true"));
    assert_eq!(fake.bodies("PATCH"), [json!({"web": 0, "worker": 3})]);
    let whole = fake.run(&[&args[..], &["--json"]].concat()).code(0);
    assert_eq!(json(&whole), scale_plan());
    serde_json::from_value::<windlass_api_types::ScalePlan>(scale_plan()).unwrap();
    fake.run(&[&args[..], &["--detach"]].concat()).code(2);
    fake.run(&["ps", "scale", "--dry-run", "-a", "shop"]).code(2);
}

#[test]
fn a_scale_that_changes_nothing_says_so() {
    let fake = scalable();
    let mut plan = scale_plan();
    plan["changed"] = json!(false);
    fake.on(SCALE, Answer::json(200, &plan));
    let planned = fake.run(&["ps", "scale", "web=1", "--dry-run", "-a", "shop"]).code(0);
    assert_eq!(stdout(&planned), "");
    assert!(
        stderr(&planned).contains("nothing would change"),
        "{}",
        stderr(&planned)
    );
}

#[test]
fn a_server_that_scales_instead_of_looking_ahead_is_told_of() {
    let fake = scalable();
    fake.on(SCALE, Answer::json(200, &json!({"items": []})));
    let args = ["ps", "scale", "web=3", "clock=1", "--dry-run", "-a", "shop"];
    let scaled = fake.run(&args).code(1);
    let said = stderr(&scaled);
    assert!(said.contains("too old for --dry-run, and has scaled shop"), "{said}");
    assert!(said.contains("windlass ps scale clock=0 web=1 -a shop"), "{said}");
}
