//! An API of its own for each test: a database, a folder of repositories, a server, and a second team that must see nothing.

use std::{future::Future, net::SocketAddr, path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::Router;
use tempfile::TempDir;
use tokio::{net::TcpListener, process::Command, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use windlass_api::{ApiConfig, ApiState, Check, ReadinessChecks, bind_hook, router, serve, serve_hook};
use windlass_domain::{Secret, TeamId};
use windlass_source::{FetchPolicy, Repositories, SourceConfig};
use windlass_store::{Store, StoreOptions};

pub struct Api {
    pub store: Store,
    pub repositories: Repositories,
    pub router: Router,
    pub address: SocketAddr,
    pub setup_token: String,
    pub team: TeamId,
    pub token: String,
    /// The token of another team.
    pub stranger: String,
    pub folder: TempDir,
    pub shutdown: CancellationToken,
    pub servers: Vec<JoinHandle<()>>,
}

/// Runs a test with an API of its own and leaves nothing behind, whatever comes of the test.
pub async fn with_api<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(Arc<Api>) -> F) {
    let name = format!("windlass_api_{}", Uuid::now_v7().simple());
    let server = server_url();
    sql(&server, &format!("create database {name}")).await;
    let outcome = match tokio::spawn(Api::new(of_database(&server, &name))).await {
        Ok(api) => {
            let shutdown = api.shutdown.clone();
            let store = api.store.clone();
            let outcome = tokio::spawn(test(Arc::new(api))).await;
            shutdown.cancel();
            store.close().await;
            outcome
        }
        Err(error) => Err(error),
    };
    sql(&server, &format!("drop database {name} with (force)")).await;
    if let Err(error) = outcome {
        std::panic::resume_unwind(error.into_panic());
    }
}

impl Api {
    async fn new(url: String) -> Self {
        let store = open(&url).await;
        store.migrate().await.unwrap();
        let setup_token = store.install().await.unwrap().setup_token.unwrap();
        let (team, token) = first_token(&store, &url).await;
        let stranger = another_team(&store, &url).await;
        let folder = TempDir::new().unwrap();
        let repositories = Repositories::new(SourceConfig {
            root: folder.path().join("repositories"),
            git: "/usr/bin/git".into(),
            hook: hook_program(),
            max_pack_bytes: 8 << 20,
            fetch: FetchPolicy::default(),
        });
        let shutdown = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = config(address, folder.path().join("hook.sock"));
        let hook = bind_hook(&config.hook_socket).unwrap();
        let ready = Arc::new(Ready);
        let state = ApiState::new(store.clone(), repositories.clone(), config, ready, shutdown.clone());
        let router = router(state.clone());
        let (served, events) = (router.clone(), store.clone());
        let (of_http, of_hook, of_events) = (shutdown.clone(), shutdown.clone(), shutdown.clone());
        let servers = vec![
            tokio::spawn(async move { serve(listener, served, of_http).await.unwrap() }),
            tokio::spawn(async move { serve_hook(hook, state, of_hook).await.unwrap() }),
            tokio::spawn(async move { events.listen(of_events.cancelled_owned()).await }),
        ];
        Self {
            store,
            repositories,
            router,
            address,
            setup_token: setup_token.expose().clone(),
            team,
            token,
            stranger,
            folder,
            shutdown,
            servers,
        }
    }
}

pub fn config(address: SocketAddr, hook_socket: PathBuf) -> ApiConfig {
    ApiConfig {
        base_domain: "apps.example.com".parse().unwrap(),
        public_url: format!("http://{address}").parse().unwrap(),
        app_scheme: "http",
        app_port: None,
        hook_socket,
    }
}

struct Ready;

#[async_trait]
impl ReadinessChecks for Ready {
    async fn check(&self) -> Vec<Check> {
        vec![Check {
            name: "postgres".to_owned(),
            ok: true,
            detail: None,
            millis: 1,
        }]
    }
}

/// `examples/push_hook.rs`, which cargo builds beside the tests.
fn hook_program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples/push_hook");
    assert!(
        program.exists(),
        "build the examples first: cargo build -p windlass-api --examples"
    );
    program
}

pub async fn open(url: &str) -> Store {
    let options = StoreOptions {
        url: url.to_owned(),
        max_connections: 6,
        master_key: Secret::new(vec![7; 32]),
    };
    Store::connect(options).await.unwrap()
}

async fn first_token(store: &Store, url: &str) -> (TeamId, String) {
    let team = sql(url, "select id from teams").await;
    let team = TeamId::from_uuid(team.trim().parse().unwrap());
    let (_, token) = store.create_token(team, "the test").await.unwrap();
    (team, token.expose().clone())
}

async fn another_team(store: &Store, url: &str) -> String {
    let team = TeamId::generate();
    sql(
        url,
        &format!("insert into teams (id, name) values ('{}', 'strangers')", team.uuid()),
    )
    .await;
    let (_, token) = store.create_token(team, "a stranger").await.unwrap();
    token.expose().clone()
}

/// `DATABASE_URL` from the environment, or else from the workspace's `.env`.
#[allow(clippy::disallowed_methods, reason = "a test is its own composition root")]
fn server_url() -> String {
    std::env::var("DATABASE_URL").unwrap_or_else(|_| {
        let env = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../.env")).unwrap_or_default();
        let url = env.lines().find_map(|line| line.strip_prefix("DATABASE_URL="));
        url.expect("set DATABASE_URL to a Postgres where databases can be made")
            .to_owned()
    })
}

/// The same server, another database.
fn of_database(server: &str, name: &str) -> String {
    let (head, query) = server
        .split_once('?')
        .map_or((server, ""), |(head, query)| (head, query));
    let slash = head.rfind('/').unwrap();
    format!("{}/{name}?{query}", &head[..slash])
}

/// What no function of the store does, done by Postgres's own client.
pub async fn sql(url: &str, statement: &str) -> String {
    let mut command = Command::new("psql");
    command.args([url, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement]);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    assert!(
        output.status.success(),
        "{statement}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Asks again and again until there is an answer, 20 seconds at most.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut probe: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
