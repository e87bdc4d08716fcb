//! Answers as the server gives them.

use serde_json::{Value, json};

pub const DEPLOYMENT: &str = "dpl_018f3a5e7b7c7d3f9a1b2c3d4e5f6071";

pub fn not_found() -> Value {
    problem(404, "not_found", "there is no such thing")
}

pub fn problem(status: u16, code: &str, detail: &str) -> Value {
    json!({"type": format!("https://windlass.example.com/docs/problems/{code}"), "title": code, "status": status,
           "detail": detail, "instance": "req_1", "code": code})
}

pub fn account() -> Value {
    json!({"team": "team_018f3a5e7b7c7d3f9a1b2c3d4e5f6071",
           "token": {"id": "token_018f3a5e7b7c7d3f9a1b2c3d4e5f6071", "name": "laptop"},
           "server": {"version": "0.1.0", "base_domain": "apps.example.com", "url": "https://windlass.example.com"}})
}

pub fn app(name: &str) -> Value {
    json!({
        "id": "app_018f3a5e7b7c7d3f9a1b2c3d4e5f6071", "name": name, "url": format!("http://{name}.apps.example.com"),
        "git_url": format!("https://windlass.example.com/git/{name}.git"), "status": "live", "repo_url": null, "branch": "main",
        "build": {"builder": "auto", "dockerfile": null, "context": null, "target": null, "args": {"A": "1"},
                  "config_args": [], "submodules": false, "timeout_seconds": 1800},
        "health": {"path": null, "status": "200-399", "port": null, "interval_seconds": 10, "timeout_ms": 2000, "retries": 3,
                   "deadline_seconds": 60},
        "process_health": {}, "strategy": "rolling",
        "watch": {"seconds": 60, "crashes": 2, "error_percent": 50, "min_requests": 20}, "crash_loops": [],
        "limits": {"memory_bytes": 536_870_912, "cpu_millis": 1000, "pids": 512},
        "port": null, "drain_seconds": 30, "release": "v3", "deploy_key": "ssh-ed25519 AAAA windlass",
        "created_at": "2026-11-20T10:00:00Z", "updated_at": "2026-11-20T10:00:00Z"
    })
}

pub fn deployment(status: &str) -> Value {
    let failure = json!({"code": "wrong_port", "reason": "the app listens on port 3000, not on 8080",
                         "evidence": ["listening: 0.0.0.0:3000"], "next_step": "listen on $PORT"});
    json!({
        "id": DEPLOYMENT, "app": "shop", "trigger": "api", "kind": {"type": "config"},
        "commit": "0123456789abcdef0123456789abcdef01234567", "reference": null, "message": "first", "status": status,
        "step": "probe", "attempt": 1, "release": if status == "succeeded" { json!("v4") } else { Value::Null },
        "failure": if status == "failed" { failure } else { Value::Null }, "superseded_by": null,
        "cancel_requested": false, "url": "http://shop.apps.example.com", "created_at": "2026-11-21T10:00:00Z",
        "started_at": "2026-11-21T10:00:00Z", "finished_at": null
    })
}

pub fn release(number: u32, live: bool) -> Value {
    json!({"version": format!("v{number}"), "number": number, "deployment": DEPLOYMENT, "status": "succeeded",
           "image": "windlass/shop:x",
           "commit": "0123456789abcdef0123456789abcdef01234567", "config_version": 1,
           "processes": [{"process": "web", "command": {"shell": "node server.js"}}], "description": "first", "live": live,
           "image_available": true, "created_at": "2026-11-21T10:00:00Z"})
}

pub fn instance(name: &str) -> Value {
    json!({"id": "inst_018f3a5e7b7c7d3f9a1b2c3d4e5f6071", "name": name, "process": "web", "release": "v3", "state": "healthy",
           "health": "passing", "address": "10.0.0.2:8080", "container": "abc", "exit_code": null, "reason": null,
           "created_at": "2026-11-21T10:00:00Z", "healthy_at": null, "finished_at": null})
}

pub fn items(items: &[Value]) -> Value {
    json!({"items": items, "next": null})
}

/// A line of a deployment's log as a server-sent event.
pub fn line(seq: i64, text: &str) -> String {
    let data = json!({"seq": seq, "at": "2026-11-21T10:00:00Z", "source": "windlass", "text": text});
    format!("id: {seq}\nevent: line\ndata: {data}\n\n")
}

/// The end of a deployment as a server-sent event.
pub fn end(status: &str) -> String {
    format!("event: end\ndata: {}\n\n", deployment(status))
}
