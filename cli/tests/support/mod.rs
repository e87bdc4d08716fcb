//! A server that answers as a test says, and a place to run `windlass` in that holds nothing of the user's.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod answers;
mod git_http;

use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, MutexGuard},
};

use assert_cmd::assert::Assert;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    response::Response,
};
use futures::StreamExt;
use serde_json::Value;
use tempfile::TempDir;

pub const TOKEN: &str = "wl_test";

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub token: Option<String>,
    pub last_event_id: Option<String>,
    pub body: Value,
}

/// What the server answers.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    content_type: &'static str,
    body: String,
    /// The connection breaks after the body.
    cut: bool,
}

impl Answer {
    pub fn json(status: u16, body: &Value) -> Self {
        let content_type = if status < 400 {
            "application/json"
        } else {
            "application/problem+json"
        };
        Self {
            status,
            content_type,
            body: body.to_string(),
            cut: false,
        }
    }

    pub fn empty(status: u16) -> Self {
        Self {
            status,
            content_type: "application/json",
            body: String::new(),
            cut: false,
        }
    }

    pub fn events(body: &str) -> Self {
        Self {
            status: 200,
            content_type: "text/event-stream",
            body: body.to_owned(),
            cut: false,
        }
    }

    pub fn cut(self) -> Self {
        Self { cut: true, ..self }
    }
}

#[derive(Default)]
struct Script {
    answers: HashMap<String, VecDeque<Answer>>,
    seen: Vec<Recorded>,
    repositories: Option<PathBuf>,
}

/// The server, a home directory and a working directory. All of it is gone when dropped.
pub struct Fake {
    script: Arc<Mutex<Script>>,
    pub url: String,
    pub folder: TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Fake {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(script.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("work")).unwrap();
        Self {
            script,
            url,
            folder,
            _runtime: runtime,
        }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// Answers this request (`GET /apps`, below `/api/v1`) so; given several times, one after the other, and the last for ever.
    pub fn on(&self, request: &str, answer: Answer) -> &Self {
        let (method, path) = request.split_once(' ').unwrap();
        let key = format!("{method} /api/v1{path}");
        self.script().answers.entry(key).or_default().push_back(answer);
        self
    }

    pub fn get(&self, path: &str, body: &Value) -> &Self {
        self.on(&format!("GET {path}"), Answer::json(200, body))
    }

    /// Serves bare repositories at `/git/{app}.git`, behind the token; answers with the repository of this app.
    pub fn serve_git(&self, app: &str) -> PathBuf {
        let repositories = self.folder.path().join("repositories");
        let bare = repositories.join(format!("{app}.git"));
        git(
            self.folder.path(),
            &["init", "--quiet", "--bare", "-b", "main", bare.to_str().unwrap()],
        );
        git(&bare, &["config", "receive.advertisePushOptions", "true"]);
        self.script().repositories = Some(repositories);
        bare
    }

    pub fn seen(&self) -> Vec<Recorded> {
        self.script().seen.clone()
    }

    /// The bodies of the requests with this method.
    pub fn bodies(&self, method: &str) -> Vec<Value> {
        let seen = self.seen().into_iter();
        seen.filter(|request| request.method == method)
            .map(|request| request.body)
            .collect()
    }

    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub fn settings(&self) -> PathBuf {
        self.folder.path().join("config/windlass")
    }

    /// `windlass` in the working directory, with nothing of the user's environment.
    #[expect(
        clippy::disallowed_methods,
        reason = "what is taken out of the environment has to be seen"
    )]
    pub fn bare_command(&self, args: &[&str]) -> assert_cmd::Command {
        let mut command = assert_cmd::Command::cargo_bin("windlass").unwrap();
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("WINDLASS_") {
                command.env_remove(key);
            }
        }
        command
            .current_dir(self.work())
            .env("HOME", self.folder.path())
            .env("XDG_CONFIG_HOME", self.folder.path().join("config"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CEILING_DIRECTORIES", self.folder.path())
            // Requests of tests must not depend on a proxy: addresses of this machine never use one.
            .env("http_proxy", "http://127.0.0.1:9")
            .timeout(std::time::Duration::from_secs(30))
            .args(args);
        command
    }

    /// The same, logged in through the environment.
    pub fn command(&self, args: &[&str]) -> assert_cmd::Command {
        let mut command = self.bare_command(args);
        command.env("WINDLASS_URL", &self.url).env("WINDLASS_TOKEN", TOKEN);
        command
    }

    pub fn run(&self, args: &[&str]) -> Assert {
        self.command(args).assert()
    }

    /// Makes the working directory a git repository with one commit; answers with the commit.
    pub fn repository(&self) -> String {
        let work = self.work();
        git(&work, &["init", "--quiet", "-b", "main"]);
        std::fs::write(work.join("Procfile"), "web: true\n").unwrap();
        git(&work, &["add", "."]);
        git(
            &work,
            &[
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.com",
                "commit",
                "--quiet",
                "-m",
                "first",
            ],
        );
        git(&work, &["rev-parse", "HEAD"])
    }

    pub fn remote(&self, name: &str, url: &str) {
        git(&self.work(), &["remote", "add", name, url]);
    }
}

/// Runs git, which must succeed, and answers with what it said.
pub fn git(directory: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(directory)
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

pub fn stderr(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

pub fn json(assert: &Assert) -> Value {
    serde_json::from_str(&stdout(assert)).unwrap()
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response {
    if request.uri().path().starts_with("/git/") {
        let repositories = script.lock().unwrap().repositories.clone();
        return git_http::serve(repositories.as_deref(), request).await;
    }
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let key = format!("{} {}", parts.method, parts.uri.path());
    let mut script = script.lock().unwrap();
    script.seen.push(Recorded {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        token: header("authorization").and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned)),
        last_event_id: header("last-event-id"),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    });
    let queue = script.answers.entry(key).or_default();
    let answer = if queue.len() > 1 {
        queue.pop_front()
    } else {
        queue.front().cloned()
    };
    respond(answer.unwrap_or_else(|| Answer::json(404, &answers::not_found())))
}

fn respond(answer: Answer) -> Response {
    let body = Bytes::from(answer.body);
    let body = if answer.cut {
        let breaks = async {
            // Long enough for the body to be on its way: an error at once would take the head of the answer with it.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            Err(std::io::Error::other("cut"))
        };
        let parts = futures::stream::iter([Ok(body)]).chain(futures::stream::once(breaks));
        Body::from_stream(parts)
    } else {
        Body::from(body)
    };
    Response::builder()
        .status(answer.status)
        .header("content-type", answer.content_type)
        .body(body)
        .unwrap()
}
