//! One app under test: its versions as commits, and the operations on it, whose outcomes go into the history.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Method;
use serde_json::{Value, json};
use windlass_testkit::{Api, App, Engine, docker::ensure_program_image, files::Files, program};

use crate::history::{Ask, History, Outcome};

/// How long an answer of the API is waited for. One that comes later is unknown.
const PATIENCE: Duration = Duration::from_secs(20);

/// An app under test.
#[derive(Debug)]
pub struct Site {
    /// The app.
    pub app: App,
    api: Api,
    history: Arc<History>,
    versions: Mutex<BTreeMap<String, String>>,
    doomed: Mutex<BTreeSet<String>>,
    next: Mutex<u32>,
}

/// How the program of an app behaves; no word: well.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner(pub &'static [&'static str]);

impl Site {
    /// Creates an app; `settings` are those of the API, without the name.
    pub async fn create(engine: &Engine, history: &Arc<History>, name: &str, settings: Value) -> Self {
        let mut create = settings;
        create["name"] = name.into();
        let app = engine.app_with(create).await;
        let id = history.sent(app.name(), Ask::Create);
        history.over(
            id,
            Outcome::Acknowledged {
                deployment: None,
                config_version: None,
            },
        );
        Self::of(app, engine, history)
    }

    /// An app that does not exist yet; [`Ask::Create`] creates it.
    pub fn planned(engine: &Engine, history: &Arc<History>, name: &str) -> Self {
        Self::of(engine.planned_app(name), engine, history)
    }

    fn of(app: App, engine: &Engine, history: &Arc<History>) -> Self {
        Self {
            app,
            api: engine.api().clone(),
            history: history.clone(),
            versions: Mutex::default(),
            doomed: Mutex::default(),
            next: Mutex::new(1),
        }
    }

    /// What each commit answers.
    pub fn versions(&self) -> BTreeMap<String, String> {
        self.versions.lock().unwrap().clone()
    }

    /// The commits whose app ends at once: they must never go live.
    pub fn doomed(&self) -> BTreeSet<String> {
        self.doomed.lock().unwrap().clone()
    }

    fn next(&self) -> u32 {
        let mut next = self.next.lock().unwrap();
        *next += 1;
        *next - 1
    }

    /// Commits the next version of the app's program without pushing it; gives the commit.
    pub async fn commit(&self, manner: Manner) -> String {
        let says = format!("{} v{}", self.app.name(), self.next());
        let commit = self.app.repo.commit(&files(&says, manner)).await;
        self.versions.lock().unwrap().insert(commit.clone(), says);
        if manner.0.contains(&"--crash") {
            self.doomed.lock().unwrap().insert(commit.clone());
        }
        commit
    }

    /// Commits the next version and brings it to the server without deploying it; gives the commit.
    ///
    /// # Panics
    /// When git cannot push.
    pub async fn bring(&self, manner: Manner) -> String {
        let commit = self.commit(manner).await;
        let push = self
            .app
            .repo
            .push(self.app.git_url(), "+HEAD:refs/heads/main", &["no-deploy"]);
        push.await.must_succeed();
        commit
    }

    /// Does an operation and notes it; gives what became of it.
    pub async fn ask(&self, ask: Ask) -> Outcome {
        let id = self.history.sent(self.app.name(), ask.clone());
        let outcome = self.send(&ask).await;
        self.history.over(id, outcome.clone());
        outcome
    }

    async fn send(&self, ask: &Ask) -> Outcome {
        let call = |method, rest: &str, body| self.call(method, self.app.path(rest), body);
        match ask {
            Ask::Deliver { .. } => Outcome::Unknown,
            Ask::Create => {
                let create = json!({ "name": self.app.name(), "drain_seconds": 1 });
                self.call(Method::POST, "/api/v1/apps".to_owned(), create).await
            }
            Ask::Push { .. } => {
                let pushed = self
                    .app
                    .repo
                    .push(self.app.git_url(), "+HEAD:refs/heads/main", &[])
                    .await;
                // A push that fails may have begun a deployment before it did.
                if pushed.ok {
                    acknowledged(None, None)
                } else {
                    Outcome::Unknown
                }
            }
            Ask::Deploy { commit } => call(Method::POST, "/deployments", json!({ "commit": commit })).await,
            Ask::Scale { quantity } => call(Method::PATCH, "/formation", json!({ "web": quantity })).await,
            Ask::Rollback => call(Method::POST, "/rollback", json!({})).await,
            Ask::Config { tint } => call(Method::PATCH, "/config", json!({ "TINT": tint })).await,
            Ask::Restart => call(Method::POST, "/restart", json!({})).await,
            Ask::Cancel { deployment } => {
                call(Method::POST, &format!("/deployments/{deployment}/cancel"), json!({})).await
            }
            Ask::Destroy => call(Method::DELETE, "", Value::Null).await,
        }
    }

    async fn call(&self, method: Method, path: String, body: Value) -> Outcome {
        let body = Some(body).filter(|body| !body.is_null());
        match self.api.attempt(method, &path, body, PATIENCE).await {
            Err(_) => Outcome::Unknown,
            Ok(reply) if reply.status >= 500 => Outcome::Unknown,
            Ok(reply) if reply.status >= 400 => Outcome::Refused { status: reply.status },
            Ok(reply) => {
                let id = reply.body["deployment"]["id"].as_str();
                let id = id.or_else(|| reply.body["id"].as_str().filter(|id| id.starts_with("dpl_")));
                let version = reply.body["version"]
                    .as_i64()
                    .and_then(|version| i32::try_from(version).ok());
                acknowledged(id.map(str::to_owned), version)
            }
        }
    }

    /// Deploys the next version, which must succeed.
    ///
    /// # Panics
    /// When it does not.
    pub async fn deploy_next(&self) {
        let commit = self.bring(Manner::default()).await;
        match self.ask(Ask::Deploy { commit }).await {
            Outcome::Acknowledged {
                deployment: Some(id), ..
            } => drop(self.app.succeeded(&json!({ "id": id })).await),
            other => panic!("the deployment was not taken: {other:?}"),
        }
    }
}

fn acknowledged(deployment: Option<String>, config_version: Option<i32>) -> Outcome {
    Outcome::Acknowledged {
        deployment,
        config_version,
    }
}

/// The commit of an app that says this.
fn files(says: &str, Manner(manner): Manner) -> Files {
    let image = ensure_program_image(&program("chaos-app"));
    let words: Vec<String> = std::iter::once(&"/bin/chaos-app")
        .chain(manner)
        .map(|word| format!("{word:?}"))
        .collect();
    Files::new()
        .with(
            "Dockerfile",
            format!("FROM {image}\nCOPY version /app/version\nCMD [{}]\n", words.join(", ")),
        )
        .with("version", format!("{says}\n"))
}
