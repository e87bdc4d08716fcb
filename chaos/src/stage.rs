//! An engine with its apps, its visitors and the proxies around it: where scenarios play.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use windlass_testkit::{Engine, EngineOptions, ThrowawayPostgres, Traefik, Windlassd};

use crate::{
    check::{Expected, Violation, check},
    history::History,
    load::{Load, Traffic, Visits},
    point::{Points, Trap},
    proxy::{docker::DockerProxy, postgres::PostgresProxy},
    report::Tally,
    site::Site,
    world::{DockerEye, World},
};

/// How long everything may take until it is as it should be. A slow machine is no fault; what is never right is.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// A look at the world costs a good part of a second of a core, which is taken from what is looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(400);
/// The engine sweeps what has no owner once a minute, when it is two minutes old.
pub const SWEEP: Duration = Duration::from_secs(270);

/// How a stage is set up.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Variables of the engine's environment.
    pub environment: Vec<(String, String)>,
    /// Keeps the embedded Postgres: then there is no proxy before it.
    pub embedded: bool,
    /// Another Docker than the machine's own.
    pub docker: Option<String>,
    /// A real Traefik as the router.
    pub traefik: bool,
    /// So many workers in processes of their own, on the engine's data directory; none: the engine is the worker too.
    pub workers: usize,
    /// Where the history is written.
    pub history: Option<std::path::PathBuf>,
}

/// The stage. Fields are dropped in this order: first the engine, then what it stands on.
#[derive(Debug)]
pub struct Stage {
    /// Workers in processes of their own; the engine then has none.
    pub workers: Vec<Windlassd>,
    /// The engine.
    pub engine: Engine,
    /// A real Traefik in front of the apps.
    pub traefik: Option<Traefik>,
    /// Between the engine and Postgres, unless that is the embedded one.
    pub postgres_proxy: Option<PostgresProxy>,
    /// Between the engine and Docker.
    pub docker_proxy: DockerProxy,
    /// The outer Postgres.
    pub postgres: Option<ThrowawayPostgres>,
    /// What passes the proxies.
    pub points: Arc<Points>,
    /// What was asked and answered.
    pub history: Arc<History>,
    /// How Docker is looked at.
    pub eye: DockerEye,
    /// The apps under test.
    pub sites: Vec<Site>,
    untouched: BTreeMap<String, Vec<String>>,
    /// Ids of apps that a restored database does not know.
    forgotten: BTreeSet<String>,
    load: Option<Load>,
}

/// How a trial ended.
#[derive(Debug)]
pub struct Settled {
    /// How long it took until everything was as it should be.
    pub took: Duration,
    /// What still was not; the tally has it.
    pub violations: Vec<Violation>,
    /// The world at the end.
    pub world: World,
}

impl Stage {
    /// Sets up an engine without apps.
    ///
    /// # Panics
    /// When it cannot be set up.
    pub async fn build(setup: Setup) -> Self {
        let points = Arc::new(Points::default());
        let docker = setup
            .docker
            .clone()
            .unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
        let socket = docker.trim_start_matches("unix://").to_owned();
        let docker_proxy = DockerProxy::start(Path::new(&socket), points.clone()).expect("a proxy can be made");
        let mut options = EngineOptions::default().with("DOCKER_HOST", docker_proxy.url());
        let (mut postgres, mut postgres_proxy) = (None, None);
        if !setup.embedded {
            let server = ThrowawayPostgres::start().await;
            let proxy = PostgresProxy::start(server.socket_dir(), points.clone()).expect("a proxy can be made");
            options = options.on_through(&server, &proxy.url(server.url()));
            (postgres, postgres_proxy) = (Some(server), Some(proxy));
        }
        for (name, value) in &setup.environment {
            options = options.with(name, value);
        }
        if setup.traefik {
            options = options.with("WINDLASS_ROUTER", "traefik");
        }
        if setup.workers > 0 {
            options = options.with_roles("api,router");
        }
        let history = setup
            .history
            .as_deref()
            .and_then(|path| History::on_disk(path).ok())
            .unwrap_or_default();
        let engine = Engine::start_with(options).await;
        let workers = (0..setup.workers).map(|_| engine.further_worker(&[])).collect();
        let mut traefik = None;
        if setup.traefik {
            let log = engine.data_dir().join("traefik.log");
            traefik = Some(Traefik::start(engine.spare_port(), engine.id(), &log).await);
        }
        Self {
            engine,
            workers,
            traefik,
            postgres_proxy,
            docker_proxy,
            postgres,
            points,
            history: Arc::new(history),
            eye: DockerEye { host: setup.docker },
            sites: Vec::new(),
            untouched: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            load: None,
        }
    }

    /// Creates an app with short drains and deploys its first version. Traefik does not count requests and takes its time to notice, so
    /// that drains have to be longer than it and the longest request.
    pub async fn add(&mut self, name: &str) -> usize {
        let drain = if self.traefik.is_some() { 8 } else { 1 };
        self.add_with(name, json!({ "drain_seconds": drain })).await
    }

    /// As [`Self::add`], with settings.
    pub async fn add_with(&mut self, name: &str, settings: serde_json::Value) -> usize {
        let site = Site::create(&self.engine, &self.history, name, settings).await;
        site.deploy_next().await;
        self.sites.push(site);
        self.sites.len() - 1
    }

    /// From now on nobody touches this app: its containers must stay.
    ///
    /// # Panics
    /// When the world cannot be looked at.
    pub async fn leave_alone(&mut self, site: usize) {
        let name = self.sites[site].app.name().to_owned();
        let world = self.look().await.expect("the world can be looked at");
        let id = &world.rows.app(&name).expect("the app is there").id;
        let mut containers: Vec<String> = world
            .docker
            .instances_of(id)
            .map(|container| container.id.clone())
            .collect();
        containers.sort();
        self.untouched.insert(name, containers);
    }

    /// Forgets the apps from this one on: the database that is restored does not know them.
    ///
    /// # Panics
    /// When the world cannot be looked at.
    pub async fn forget_from(&mut self, site: usize) {
        let world = self.look().await.expect("the world can be looked at");
        for site in self.sites.drain(site..) {
            let app = world.rows.app(site.app.name()).expect("the app is there");
            self.forgotten.insert(app.id.clone());
        }
    }

    /// Lets visitors come to all apps.
    pub fn open(&mut self, visits: Visits, seed: u64) {
        let apps = self.sites.iter().map(|site| site.app.name().to_owned()).collect();
        self.load = Some(Load::start(self.address(), apps, visits, seed));
    }

    /// Counts what passes the proxies anew, with a trap or none; its victim is the engine, or the worker that does it.
    pub fn count(&self, trap: Option<Trap>) {
        if self.workers.is_empty() {
            self.points.begin(self.engine.pid(), trap);
        } else {
            let workers = self.workers.iter().map(Windlassd::pid).collect();
            self.points.begin_among(workers, trap);
        }
    }

    /// Where visitors come in.
    pub fn address(&self) -> String {
        self.traefik
            .as_ref()
            .map_or_else(|| self.engine.router(), Traefik::address)
    }

    /// The visitors, if any come.
    pub fn load(&self) -> Option<&Load> {
        self.load.as_ref()
    }

    /// Sends the visitors home and says what they met with.
    pub async fn close(&mut self) -> Traffic {
        match self.load.take() {
            Some(load) => load.stop().await,
            None => Traffic::default(),
        }
    }

    /// What the checker has to know.
    pub fn expected(&self) -> Expected {
        Expected {
            commits: self.sites.iter().flat_map(Site::versions).collect(),
            doomed: self.sites.iter().flat_map(Site::doomed).collect(),
            untouched: self.untouched.clone(),
            orphans: false,
            traefik: self.traefik.is_some(),
            all_succeed: true,
            hollow: BTreeSet::new(),
            unknown: self.forgotten.clone(),
        }
    }

    /// Waits until everything is as it should be, or `patience` is over. What still is not is tallied under this name, and told once.
    pub async fn settle(&self, tally: &mut Tally, name: &str, expected: &Expected, patience: Duration) -> Settled {
        let start = Instant::now();
        loop {
            let (violations, world) = self.judge(tally, expected).await;
            let took = start.elapsed();
            if violations.is_empty() || took > patience {
                tally.broke(name, violations.iter().cloned());
                return Settled {
                    took,
                    violations,
                    world,
                };
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Looks at the world.
    ///
    /// # Errors
    /// When a part of it cannot be looked at.
    pub async fn look(&self) -> anyhow::Result<World> {
        let router = self.traefik.is_none().then(|| self.engine.data_dir());
        World::look(&self.engine, &self.address(), router, &self.eye).await
    }

    /// What is not as it should be, without what the tally has already.
    async fn judge(&self, tally: &Tally, expected: &Expected) -> (Vec<Violation>, World) {
        match self.look().await {
            Ok(world) => (tally.untold(check(&self.history.all(), expected, &world)), world),
            // However often that was told: nothing is known to be good.
            Err(error) => {
                let violation = Violation::new("I3", format!("the world cannot be looked at: {error:#}"));
                (vec![violation], World::default())
            }
        }
    }

    /// As [`Self::settle`] at the end of a scenario: what has no owner must be gone as well, after the engine's grace time.
    pub async fn settle_for_good(&self, tally: &mut Tally, name: &str) {
        let expected = Expected {
            orphans: true,
            ..self.expected()
        };
        let soon = self.settle(tally, name, &self.expected(), PATIENCE).await;
        if !soon.violations.is_empty() {
            return;
        }
        if let Some(orphan) = self.judge(tally, &expected).await.0.first() {
            eprintln!("# waiting for the sweep: {orphan}");
        }
        self.settle(tally, name, &expected, SWEEP).await;
    }

    /// Puts the engine, which was killed or has ended, back to work; gives the time until it was ready.
    pub async fn restart(&mut self) -> Duration {
        self.engine.kill9();
        self.engine.restart().await
    }
}
