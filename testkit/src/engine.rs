//! A whole installation of Windlass, as its operator would start it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{Api, App, Slot, ThrowawayPostgres, docker, process, process::Windlassd, run_in};

/// How long an engine may take until it is ready: its database is made first.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// How an engine is started. What is not said here is the default of the engine itself.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    environment: Vec<(String, String)>,
    asked_directly: Option<String>,
    roles: Option<&'static str>,
}

impl EngineOptions {
    /// Sets a variable of the engine's environment.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Uses this Postgres server in place of an embedded one.
    #[must_use]
    pub fn on(self, postgres: &ThrowawayPostgres) -> Self {
        self.with("DATABASE_URL", postgres.url())
    }

    /// Uses a Postgres server through a proxy at `url`; the test itself asks the server directly.
    #[must_use]
    pub fn on_through(mut self, postgres: &ThrowawayPostgres, url: &str) -> Self {
        self.asked_directly = Some(postgres.url().to_owned());
        self.with("DATABASE_URL", url)
    }

    /// Gives the engine's process only these roles, as `--roles` takes them.
    #[must_use]
    pub fn with_roles(mut self, roles: &'static str) -> Self {
        self.roles = Some(roles);
        self
    }

    fn database_url(&self) -> Option<&str> {
        if let Some(url) = &self.asked_directly {
            return Some(url);
        }
        let found = self.environment.iter().find(|(name, _)| name == "DATABASE_URL");
        found.map(|(_, url)| url.as_str())
    }

    /// The variable that lets `repo_url` point to a git server on this machine, with its value.
    pub const LOCAL_REPOSITORIES: (&str, &str) = ("WINDLASS_SOURCE_ALLOW_PRIVATE", "127.0.0.0/8");

    /// Lets `repo_url` point to a git server on this machine.
    #[must_use]
    pub fn allowing_local_repositories(self) -> Self {
        let (name, networks) = Self::LOCAL_REPOSITORIES;
        self.with(name, networks)
    }
}

/// A running engine. Dropping it stops its processes and removes everything that it made.
#[derive(Debug)]
pub struct Engine {
    process: Option<Windlassd>,
    options: EngineOptions,
    api: Api,
    id: String,
    slot: Slot,
    data_dir: TempDir,
}

impl Engine {
    /// Starts an engine with its defaults.
    pub async fn start() -> Self {
        Self::start_with(EngineOptions::default()).await
    }

    /// Starts an engine and logs in with its setup token.
    ///
    /// # Panics
    /// When it does not become ready; the message holds the end of its log.
    pub async fn start_with(options: EngineOptions) -> Self {
        docker::ensure_busybox();
        let slot = Slot::take();
        let data_dir = data_dir();
        slot.note(data_dir.path(), None);
        let mut engine = Self {
            process: None,
            api: Api::new(format!("http://127.0.0.1:{}", slot.port(0))),
            id: String::new(),
            options,
            slot,
            data_dir,
        };
        engine.restart().await;
        let token =
            fs::read_to_string(engine.data_dir().join("setup-token")).expect("the first start leaves a setup token");
        engine.api.log_in(token.trim()).await;
        engine.id = engine
            .ask_database("select replace(engine_id::text, '-', '') from installation")
            .await;
        engine.slot.note(engine.data_dir.path(), Some(&engine.id));
        engine
    }

    /// Starts a second engine beside this one: a data directory, ports and router of its own, on the same database (which has to be
    /// an outer one) with the same key.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn beside(&self, options: EngineOptions) -> Self {
        let slot = Slot::take();
        let data_dir = data_dir();
        slot.note(data_dir.path(), None);
        let key = self.data_dir().join("master.key");
        let options = options
            .with("WINDLASS_MASTER_KEY_FILE", key.to_str().unwrap())
            .with("WINDLASS_NETWORK_POOL", self.slot.network_pool());
        let mut api = Api::new(format!("http://127.0.0.1:{}", slot.port(0)));
        api.use_token(self.api.token());
        let mut engine = Self {
            process: None,
            api,
            // What was made belongs to the installation, which the first engine clears away.
            id: String::new(),
            options,
            slot,
            data_dir,
        };
        engine.restart().await;
        engine
    }

    /// Starts the engine's process again and waits until it is ready. One that runs is stopped in order before. Gives the time from
    /// the start of the process until it was ready.
    ///
    /// # Panics
    /// When it does not become ready; the message holds the end of its log.
    pub async fn restart(&mut self) -> Duration {
        self.stop().await;
        let start = Instant::now();
        let roles = self.options.roles.map(|roles| ["--roles", roles]);
        let args: Vec<&str> = std::iter::once("run").chain(roles.into_iter().flatten()).collect();
        let mut process = Windlassd::start(self.data_dir(), &args, &self.environment(), &self.log_path());
        // Asked more often than other conditions are: how long this takes is measured.
        while !self.api.is_ready().await {
            let log = self.log_path();
            assert!(!process.has_ended(), "windlassd ended:\n{}", tail(&log));
            assert!(
                start.elapsed() < START_DEADLINE,
                "windlassd is not ready:\n{}",
                tail(&log)
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.process = Some(process);
        start.elapsed()
    }

    /// Sends the engine's process a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    /// Whether the engine's process has ended, by itself or by somebody else.
    pub fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_none_or(Windlassd::has_ended)
    }

    /// Ends the engine's process in order (SIGTERM); its router goes on.
    ///
    /// # Panics
    /// When it does not end within half a minute.
    pub async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::TERM);
            let ended = tokio::task::spawn_blocking(move || process.wait(Duration::from_secs(30)))
                .await
                .unwrap();
            assert!(ended.is_some(), "windlassd does not end:\n{}", tail(&self.log_path()));
        }
    }

    /// Ends the engine's process as a crash would; its router goes on.
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill9();
        }
    }

    /// The engine's process id.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the engine runs").pid()
    }

    /// The API, logged in.
    pub const fn api(&self) -> &Api {
        &self.api
    }

    /// Where the API answers.
    pub fn url(&self) -> String {
        self.api.url().to_owned()
    }

    /// Where the router answers, as `host:port`.
    pub fn router(&self) -> String {
        format!("127.0.0.1:{}", self.slot.port(1))
    }

    /// A port that is this test's own, for something beside the engine.
    pub fn spare_port(&self) -> u16 {
        self.slot.port(5)
    }

    /// A number that no other test's engine has at the same time.
    pub fn number(&self) -> u16 {
        self.slot.number()
    }

    /// The engine's id, as in the label `windlass.engine`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The folder with everything that the engine keeps.
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// What the engine has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Runs `windlassd` with these arguments and this engine's configuration.
    pub async fn windlassd(&self, args: &[&str]) -> crate::Output {
        let mut command = process::command(self.data_dir());
        command.args(args).envs(self.environment());
        crate::run(&mut command.into()).await
    }

    /// Creates an app with its defaults, see [`Engine::app_with`].
    ///
    /// # Panics
    /// When the API refuses.
    pub async fn app(&self, name: &str) -> App {
        self.app_with(serde_json::json!({ "name": name })).await
    }

    /// Creates an app with settings, as the API takes them. Its name gets the number of this engine's slot behind it: the names of
    /// containers come from those of apps, and all tests share one Docker.
    ///
    /// # Panics
    /// When the API refuses.
    pub async fn app_with(&self, mut create: serde_json::Value) -> App {
        let name = create["name"].as_str().expect("an app has a name");
        create["name"] = format!("{name}-{}", self.number()).into();
        let app = self.api.post("/api/v1/apps", create).await.must_be(201);
        App::new(self, &app)
    }

    /// An app that does not exist yet, by the name that it will have on this engine: for a test that creates it by itself.
    pub fn planned_app(&self, name: &str) -> App {
        let name = format!("{name}-{}", self.number());
        let git_url = format!("{}/git/{name}.git", self.url());
        App::new(self, &serde_json::json!({ "name": name, "git_url": git_url }))
    }

    /// Starts a further worker on this engine's data directory, as `windlassd run --roles worker`. It has this engine's environment, in
    /// which `environment` goes first, and a log of its own. The engine needs an outer Postgres for that.
    pub fn further_worker(&self, environment: &[(&str, String)]) -> Windlassd {
        let mut all = self.environment();
        all.extend(
            environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        let roles = ["run", "--roles", "worker"];
        Windlassd::start(self.data_dir(), &roles, &all, &self.worker_log_path())
    }

    /// What the further workers have said so far.
    pub fn worker_log(&self) -> String {
        fs::read_to_string(self.worker_log_path()).unwrap_or_default()
    }

    /// Asks the engine's database, past the engine.
    ///
    /// # Panics
    /// When the statement fails.
    pub async fn ask_database(&self, sql: &str) -> String {
        self.try_database(sql).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`Engine::ask_database`]; the error is what `psql` said.
    pub async fn try_database(&self, sql: &str) -> Result<String, String> {
        let socket = self.data_dir().join("postgres/run");
        let own = ["-h", socket.to_str().unwrap(), "-U", "windlass", "-d", "postgres"];
        let database = self.options.database_url().map_or(own.to_vec(), |url| vec![url]);
        let args = [&database[..], &["-AtX", "-c", sql]].concat();
        let output = run_in(Path::new("/"), &crate::postgres::client("psql"), &args).await;
        if output.ok {
            Ok(output.stdout.trim().to_owned())
        } else {
            Err(output.text())
        }
    }

    /// Fails the test when any container, network, volume or image of this engine is left, or any repository.
    ///
    /// # Panics
    /// When something is left.
    pub fn assert_clean(&self) {
        let mut left = docker::leftovers(&self.id);
        if let Ok(entries) = fs::read_dir(self.data_dir().join("repositories")) {
            let paths = entries.flatten().map(|entry| entry.path());
            let repositories = paths.filter(|path| path.extension().is_some_and(|extension| extension == "git"));
            left.extend(repositories.map(|path| format!("repository {}", path.display())));
        }
        assert!(left.is_empty(), "left behind: {left:#?}");
    }

    fn environment(&self) -> Vec<(String, String)> {
        let mut environment = vec![
            ("WINDLASS_BASE_DOMAIN".to_owned(), "localhost".to_owned()),
            (
                "WINDLASS_API_LISTEN".to_owned(),
                format!("127.0.0.1:{}", self.slot.port(0)),
            ),
            ("WINDLASS_ROUTER_HTTP".to_owned(), self.router()),
            ("WINDLASS_NETWORK_POOL".to_owned(), self.slot.network_pool()),
            ("WINDLASS_LOG_FORMAT".to_owned(), "text".to_owned()),
        ];
        environment.extend(self.options.environment.iter().cloned());
        environment
    }

    fn worker_log_path(&self) -> PathBuf {
        self.data_dir().join("windlassd-worker.log")
    }

    fn log_path(&self) -> PathBuf {
        self.data_dir().join("windlassd.log")
    }
}

fn data_dir() -> TempDir {
    let data_dir = tempfile::Builder::new().prefix("wl-").tempdir_in("/tmp").unwrap();
    // The database and the router run as users of their own, who have to pass through it.
    fs::set_permissions(data_dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    data_dir
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the engine's log ---\n{}", tail(&self.log_path()));
        }
        drop(self.process.take());
        process::stop_all(self.data_dir.path());
        if !self.id.is_empty() {
            docker::remove_all(&self.id);
        }
        self.slot.forget();
    }
}
