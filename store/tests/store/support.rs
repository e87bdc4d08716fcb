//! A database of its own for each test, and the sentences that tests begin with.

use std::{future::Future, str::FromStr, sync::Arc, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection, PgConnection,
    postgres::{PgConnectOptions, PgPool},
};
use tokio::{sync::broadcast, time::timeout};
use uuid::Uuid;
use windlass_domain::{
    AppId, AppSettings, DeploymentId, DeploymentKind, ProcessSpec, ReleaseVersion, Secret, TeamId, TokenId,
    release::ProcessCommand,
};
use windlass_store::{
    AppRow, Claim, DeploymentRow, Event, InstanceRow, NewApp, NewDeployment, NewImage, NewInstance, NewRelease,
    Outcome, ReleaseRow, Store, StoreOptions, Trigger, Wanted, WorkerId,
};

pub const LEASE: Duration = Duration::from_secs(60);
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const DEADLINE: Duration = Duration::from_secs(10);

/// A database with the schema, an installation and a token of the team `default`.
pub struct Db {
    pub store: Store,
    pub url: String,
    pub setup_token: Secret<String>,
    pub team: TeamId,
    pub by: TokenId,
    /// The worker that looks after all apps.
    pub keeper: WorkerId,
    /// For what no function of the store does.
    pub raw: PgPool,
}

/// Runs a test with a database of its own and drops it afterwards, whatever comes of the test.
pub async fn with_db<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(Arc<Db>) -> F) {
    let name = format!("windlass_test_{}", Uuid::now_v7().simple());
    let server = server_url();
    run(&server, format!("create database {name}")).await;
    let options = PgConnectOptions::from_str(&server).unwrap().database(&name);
    let url = sqlx::ConnectOptions::to_url_lossy(&options).to_string();
    let outcome = match tokio::spawn(Db::new(url)).await {
        Ok(db) => tokio::spawn(test(Arc::new(db))).await,
        Err(error) => Err(error),
    };
    run(&server, format!("drop database {name} with (force)")).await;
    if let Err(error) = outcome {
        std::panic::resume_unwind(error.into_panic());
    }
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

#[allow(
    clippy::disallowed_methods,
    reason = "the name of a database cannot be a parameter; it is made here"
)]
async fn run(server: &str, statement: String) {
    let mut connection = PgConnection::connect(server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

pub async fn open(url: &str, key: u8) -> Store {
    let options = StoreOptions {
        url: url.to_owned(),
        max_connections: 8,
        master_key: Secret::new(vec![key; 32]),
    };
    Store::connect(options).await.unwrap()
}

impl Db {
    async fn new(url: String) -> Self {
        let store = open(&url, 7).await;
        store.migrate().await.unwrap();
        let setup_token = store.install().await.unwrap().setup_token.unwrap();
        let raw = PgPool::connect_lazy(&url).unwrap();
        let team: Uuid = sqlx::query_scalar("select id from teams")
            .fetch_one(&raw)
            .await
            .unwrap();
        let team = TeamId::from_uuid(team);
        let (token, _) = store.create_token(team, "test").await.unwrap();
        Self {
            store,
            url,
            setup_token,
            team,
            by: token.id,
            keeper: worker(),
            raw,
        }
    }

    pub async fn other_team(&self) -> TeamId {
        let id = TeamId::generate();
        sqlx::query("insert into teams (id, name) values ($1, $2)")
            .bind(id.uuid())
            .bind(id.to_string())
            .execute(&self.raw)
            .await
            .unwrap();
        id
    }

    pub async fn app(&self, name: &str) -> AppRow {
        self.store.create_app(self.team, new_app(name)).await.unwrap()
    }

    /// The worker that holds the app's lease from now on.
    pub async fn keep(&self, app: AppId) -> WorkerId {
        assert!(self.store.lease_app(app, self.keeper, LEASE).await.unwrap());
        self.keeper
    }

    pub async fn start(&self, new: NewInstance) -> InstanceRow {
        let keeper = self.keep(new.app).await;
        self.store.insert_instance(keeper, new).await.unwrap().unwrap()
    }

    pub async fn ask(&self, app: &AppRow, kind: DeploymentKind) -> DeploymentRow {
        let asked = self
            .store
            .create_deployment(self.team, app.id, new_deployment(kind))
            .await;
        asked.unwrap().unwrap()
    }

    pub async fn push(&self, app: &AppRow) -> DeploymentRow {
        self.ask(app, push()).await
    }

    pub async fn claim(&self) -> Option<Claim> {
        self.store.claim_deployment(worker(), LEASE, Wanted::Any).await.unwrap()
    }

    pub async fn get(&self, deployment: &DeploymentRow) -> DeploymentRow {
        let found = self.store.deployment(self.team, deployment.app, deployment.id).await;
        found.unwrap().unwrap()
    }

    /// What a worker does up to the release.
    pub async fn build(&self, claim: &Claim) -> ReleaseRow {
        let (id, attempt) = (claim.deployment.id, claim.attempt);
        let image = self
            .store
            .record_image(id, attempt, new_image(id))
            .await
            .unwrap()
            .unwrap();
        let config = self.store.config(self.team, claim.app.id).await.unwrap();
        let new = NewRelease {
            image: image.id,
            config_version: config.version,
            processes: image.processes,
            settings: claim.app.settings.clone(),
            description: "Deploy".to_owned(),
        };
        self.store.record_release(id, attempt, new).await.unwrap().unwrap()
    }

    /// What worker and converge loop do after it.
    pub async fn go_live(&self, claim: &Claim, release: &ReleaseRow) {
        let (id, attempt) = (claim.deployment.id, claim.attempt);
        assert!(self.store.set_candidate(id, attempt, release.id).await.unwrap());
        self.go_live_as_candidate(claim, release).await;
    }

    pub async fn go_live_as_candidate(&self, claim: &Claim, release: &ReleaseRow) {
        let (id, attempt) = (claim.deployment.id, claim.attempt);
        let keeper = self.keep(claim.app.id).await;
        assert!(self.store.promote(keeper, claim.app.id, release.id).await.unwrap());
        let end = self.store.finish_deployment(id, attempt, Outcome::Succeeded).await;
        assert!(end.unwrap());
    }

    /// A push that is live.
    pub async fn deployed(&self, app: &AppRow) -> ReleaseRow {
        self.push(app).await;
        let claim = self.claim().await.unwrap();
        let release = self.build(&claim).await;
        self.go_live(&claim, &release).await;
        self.store
            .release(self.team, app.id, release.version)
            .await
            .unwrap()
            .unwrap()
    }

    /// Turns the database's clock, or does something else that no function of the store does.
    pub async fn raw_do(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.raw).await.unwrap();
    }

    /// Waits until a question to this database is answered with yes.
    pub async fn until(&self, question: &'static str) {
        let yes = async {
            while !sqlx::query_scalar::<_, bool>(question)
                .fetch_one(&self.raw)
                .await
                .unwrap()
            {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, yes).await.unwrap();
    }

    pub async fn live(&self, app: AppId) -> Option<ReleaseVersion> {
        self.store.app_by_id(self.team, app).await.unwrap().unwrap().live
    }
}

pub fn worker() -> WorkerId {
    WorkerId(Uuid::now_v7())
}

pub fn new_app(name: &str) -> NewApp {
    NewApp {
        name: name.parse().unwrap(),
        settings: AppSettings {
            repo_url: Some(format!("https://forge.example/{name}/code.git").parse().unwrap()),
            ..AppSettings::default()
        },
        deploy_key_public: "ssh-ed25519 AAAA".to_owned(),
        deploy_key_private: Secret::from("the private key"),
        webhook_secret: Secret::from("the webhook secret"),
    }
}

pub fn push() -> DeploymentKind {
    DeploymentKind::Push {
        commit: COMMIT.parse().unwrap(),
    }
}

pub fn new_deployment(kind: DeploymentKind) -> NewDeployment {
    NewDeployment {
        kind,
        trigger: Trigger::Push,
        reference: Some("main".to_owned()),
        commit: Some(COMMIT.parse().unwrap()),
        message: None,
        by: None,
    }
}

/// An image with the process types `web`, `worker` and `release`.
pub fn new_image(deployment: DeploymentId) -> NewImage {
    let spec = |name: &str| ProcessSpec {
        process: name.parse().unwrap(),
        command: Some(ProcessCommand::Shell(format!("run {name}"))),
    };
    NewImage {
        reference: format!("windlass/test:{deployment}"),
        digest: format!("sha256:{deployment}"),
        commit: Some(COMMIT.parse().unwrap()),
        processes: ["web", "worker", "release"].map(spec).to_vec(),
        exposed_ports: vec![8080],
        size_bytes: 1 << 33,
    }
}

/// Waits for an event; others may come before it.
pub async fn expect_event(events: &mut broadcast::Receiver<Event>, wanted: Event) {
    let found = timeout(DEADLINE, async { while events.recv().await.unwrap() != wanted {} }).await;
    found.unwrap_or_else(|_| panic!("no {wanted:?}"));
}
