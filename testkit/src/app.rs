//! One app of an engine: pushing to it, visiting it, asking about it.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{Answer, Api, Engine, GitRepo, Visitor, docker, eventually, files::Files, get, wait_until};

/// How long a deployment may take.
const DEPLOYMENT_DEADLINE: Duration = Duration::from_secs(180);

/// An app, with a git repository of its source beside it.
#[derive(Debug)]
pub struct App {
    name: String,
    git_url: String,
    router: String,
    engine_id: String,
    api: Api,
    /// The developer's checkout.
    pub repo: GitRepo,
}

/// How a push ended.
#[derive(Debug, Clone)]
pub struct Push {
    /// Whether git says that the push succeeded.
    pub ok: bool,
    /// All that git printed, the `remote:` lines among it.
    pub output: String,
}

impl Push {
    /// Gives back what was printed.
    ///
    /// # Panics
    /// When the push failed.
    #[track_caller]
    pub fn must_succeed(self) -> String {
        assert!(self.ok, "{}", self.output);
        self.output
    }

    /// Gives back what was printed.
    ///
    /// # Panics
    /// When the push succeeded.
    #[track_caller]
    pub fn must_fail(self) -> String {
        assert!(!self.ok, "{}", self.output);
        self.output
    }
}

impl App {
    pub(crate) fn new(engine: &Engine, app: &Value) -> Self {
        let text = |key: &str| {
            app[key]
                .as_str()
                .unwrap_or_else(|| panic!("no {key} in {app:#}"))
                .to_owned()
        };
        let git_url = text("git_url").replacen("://", &format!("://windlass:{}@", engine.api().token()), 1);
        Self {
            name: text("name"),
            git_url,
            router: engine.router(),
            engine_id: engine.id().to_owned(),
            api: engine.api().clone(),
            repo: GitRepo::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where to push, with a token in it.
    pub fn git_url(&self) -> &str {
        &self.git_url
    }

    /// Its host at the default domain of tests.
    pub fn host(&self) -> String {
        format!("{}.localhost", self.name)
    }

    /// The path of something of this app in the API.
    pub fn path(&self, rest: &str) -> String {
        format!("/api/v1/apps/{}{rest}", self.name)
    }

    /// Commits these files in place of those before, and pushes to `main`.
    pub async fn push(&self, files: &Files) -> Push {
        self.push_with(files, &[]).await
    }

    /// As [`App::push`], with push options (`-o`).
    pub async fn push_with(&self, files: &Files, options: &[&str]) -> Push {
        self.repo.commit(files).await;
        self.repo.push(&self.git_url, "HEAD:refs/heads/main", options).await
    }

    /// Asks the router for a path.
    pub async fn get(&self, path: &str) -> Answer {
        get(&self.router, &self.host(), path).await
    }

    /// Waits until the app answers with this body.
    pub async fn must_say(&self, body: &str) {
        let what = format!("{} says {body:?}", self.name);
        wait_until(&what, Duration::from_secs(30), || async {
            let answer = self.get("/").await;
            answer.status == 200 && answer.body.trim_end() == body
        })
        .await;
    }

    /// Somebody who visits this app again and again.
    pub fn visitor(&self) -> Visitor {
        Visitor::start(self.router.clone(), self.host(), "/".to_owned())
    }

    /// The app itself, from the API.
    pub async fn show(&self) -> Value {
        self.api.get(&self.path("")).await.must_be(200)
    }

    /// What a list of this app holds, newest first where it has an order.
    pub async fn list(&self, what: &str) -> Vec<Value> {
        let mut list = self.api.get(&self.path(&format!("/{what}"))).await.must_be(200);
        match list["items"].take() {
            Value::Array(items) => items,
            other => panic!("no list: {other:#}"),
        }
    }

    /// Changes config vars; a null deletes one. Gives the answer.
    pub async fn set_config(&self, vars: Value) -> Value {
        self.api.patch(&self.path("/config"), vars).await.must_be(200)
    }

    /// Scales process types, such as `{"web": 3}`.
    pub async fn scale(&self, formation: Value) {
        self.api.patch(&self.path("/formation"), formation).await.must_be(200);
    }

    /// Starts a deployment and gives it back.
    pub async fn deploy(&self, body: Value) -> Value {
        self.api.post(&self.path("/deployments"), body).await.must_be(202)
    }

    /// Goes back to the release before, or to `to`.
    pub async fn roll_back(&self, to: Option<&str>) -> Value {
        let body = to.map_or_else(|| json!({}), |to| json!({ "to": to }));
        let started = self.api.post(&self.path("/rollback"), body).await.must_be(202);
        self.ended(&started).await
    }

    /// The newest deployment.
    ///
    /// # Panics
    /// When there is none.
    pub async fn last_deployment(&self) -> Value {
        self.list("deployments")
            .await
            .into_iter()
            .next()
            .expect("there is a deployment")
    }

    /// Waits until a deployment is over and gives it as it then is.
    pub async fn ended(&self, deployment: &Value) -> Value {
        let path = self.path(&format!(
            "/deployments/{}",
            deployment["id"].as_str().expect("a deployment has an id")
        ));
        eventually("the deployment is over", DEPLOYMENT_DEADLINE, || async {
            let now = self.api.get(&path).await.must_be(200);
            let over = !matches!(now["status"].as_str(), Some("pending" | "running"));
            over.then_some(now)
        })
        .await
    }

    /// Waits until a deployment is over, which must have succeeded.
    ///
    /// # Panics
    /// When it did not.
    pub async fn succeeded(&self, deployment: &Value) -> Value {
        let ended = self.ended(deployment).await;
        assert_eq!(
            ended["status"],
            "succeeded",
            "{ended:#}\n{}",
            self.deployment_log(&ended).await
        );
        ended
    }

    /// The log of a deployment as text.
    pub async fn deployment_log(&self, deployment: &Value) -> String {
        let id = deployment["id"].as_str().expect("a deployment has an id");
        self.api.get_text(&self.path(&format!("/deployments/{id}/log"))).await
    }

    /// The last lines of the app's own log as text.
    pub async fn logs(&self) -> String {
        self.api.get_text(&self.path("/logs?lines=200")).await
    }

    /// A live tail of the app's log; each piece is what has come since.
    pub async fn tail(&self) -> reqwest::Response {
        let request = self.api.request(Method::GET, &self.path("/logs?lines=10&follow=true"));
        let answer = request
            .header("accept", "text/plain")
            .send()
            .await
            .expect("the API answers");
        assert_eq!(answer.status(), 200);
        answer
    }

    /// The ids of its running containers, asked of Docker.
    pub fn containers(&self) -> Vec<String> {
        docker::containers_of(&self.engine_id, &self.name)
    }

    /// Destroys the app and waits until it is gone.
    pub async fn destroy(&self) {
        self.api.delete(&self.path("")).await.must_be(202);
        wait_until("the app is gone", Duration::from_secs(60), || async {
            self.api.get(&self.path("")).await.status == 404
        })
        .await;
    }
}
