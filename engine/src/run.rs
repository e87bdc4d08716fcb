//! Wires the roles and owns their end.

use std::{
    fs, io::Write, net::TcpListener, os::unix::fs::OpenOptionsExt, path::PathBuf, process::ExitCode, sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use sd_notify::NotifyState;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use windlass_api::{ApiConfig, ApiState};
use windlass_builder::Builder;
use windlass_domain::Secret;
use windlass_router::control::ControlClient;
use windlass_runtime::Runtime;
use windlass_source::{FetchPolicy, Repositories, SourceConfig};
use windlass_store::{Store, StoreOptions, WorkerId};
use windlass_worker::{Edge, Worker, WorkerConfig, WorkerParts};

use crate::{
    config::{Config, RouterKind},
    data_dir::{self, Succession},
    docker,
    edge::{self, BuiltinEdge, TraefikEdge},
    log_files, logging, master_key,
    outlook::Commits,
    postgres::EmbeddedPostgres,
    readiness::{Dependencies, RuntimeSlot},
    roles::Role,
    router_process::{self, Router},
    shutdown, socket,
};

/// Runs the roles until a signal.
pub fn run(config: Config, roles: &[Role]) -> anyhow::Result<ExitCode> {
    // Before anything else is started.
    let handed = socket::handed_over()?;
    logging::install(&config)?;
    for warning in crate::unknown_variables() {
        tracing::warn!("{warning}");
    }
    if roles == [Role::Router] {
        return router_process::serve_alone(&config);
    }
    let apart = !(roles.contains(&Role::Api) && roles.contains(&Role::Worker));
    ensure!(
        !apart || config.database_url.is_some(),
        "roles that run apart share a PostgreSQL server: set database_url (the embedded one ends with the process that runs it)"
    );
    let lock = data_dir::open(&config, roles)?;
    // Two threads are plenty: the work is done by Docker, PostgreSQL and the router.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let result = runtime.block_on(engine(config, roles, lock.worker(), handed));
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(lock);
    result.map(|()| ExitCode::SUCCESS)
}

async fn engine(
    config: Config,
    roles: &[Role],
    succession: Option<Succession>,
    handed: Option<TcpListener>,
) -> anyhow::Result<()> {
    let token = CancellationToken::new();
    shutdown::on_signal(token.clone(), config.shutdown)?;
    // Before anything that may be slow or down: the router has its last table, and needs nobody else to serve by it.
    let router = tokio::select! {
        () = token.cancelled() => return Ok(()),
        router = router(&config, roles) => router?,
    };
    let supervised = async {
        if let Some(router) = router {
            router_process::supervise(router, config.clone(), token.clone()).await;
        }
    };
    let wired = with_postgres(&config, (roles, succession), handed, &token);
    let (result, ()) = tokio::join!(wired, supervised);
    tracing::info!("ended");
    result
}

/// The built-in router, if it is to be looked after here.
async fn router(config: &Config, roles: &[Role]) -> anyhow::Result<Option<Router>> {
    if roles.contains(&Role::Router) && config.router == RouterKind::Builtin {
        router_process::ensure(config).await.map(Some)
    } else {
        Ok(None)
    }
}

async fn with_postgres(
    config: &Config,
    roles: (&[Role], Option<Succession>),
    handed: Option<TcpListener>,
    token: &CancellationToken,
) -> anyhow::Result<()> {
    // A PostgreSQL that does not even start ends the supervision of the router, too.
    let _ends = token.clone().drop_guard();
    let (postgres, url) = database(config).await?;
    let supervised = async {
        match &postgres {
            Some(postgres) => postgres.supervise(token.clone()).await,
            None => token.cancelled().await,
        }
    };
    let wired = with_database(config, roles, url, handed, token);
    let (result, ()) = tokio::join!(wired, supervised);
    // PostgreSQL ends last: everything else writes to it.
    if let Some(postgres) = postgres {
        postgres.stop().await;
    }
    result
}

/// The outside server, or the embedded one.
async fn database(config: &Config) -> anyhow::Result<(Option<EmbeddedPostgres>, String)> {
    if let Some(url) = &config.database_url {
        return Ok((None, url.clone()));
    }
    let postgres = EmbeddedPostgres::start(&config.postgres_dir(), &config.postgres_log()).await?;
    let url = postgres.url();
    Ok((Some(postgres), url))
}

async fn with_database(
    config: &Config,
    (roles, succession): (&[Role], Option<Succession>),
    url: String,
    handed: Option<TcpListener>,
    token: &CancellationToken,
) -> anyhow::Result<()> {
    // Whatever ends this, a fault or a signal, ends the rest of the process.
    let _ends = token.clone().drop_guard();
    let Some(store) = open_store(config, url, token).await? else {
        return Ok(());
    };
    let installation = store.install().await?;
    let engine_id = installation.engine_id.simple().to_string();
    if let Some(setup) = &installation.setup_token {
        welcome(config, setup)?;
    }
    let mut tasks = JoinSet::new();
    if roles.contains(&Role::Api) {
        tasks.spawn(forget_setup_token(
            config.setup_token_file(),
            store.clone(),
            token.clone(),
        ));
    }
    let logs = (config.log_dir(), token.clone());
    tasks.spawn(async move {
        log_files::keep_bounded(&logs.0, logs.1).await;
        Ok(())
    });
    let events = (store.clone(), token.clone());
    tasks.spawn(async move {
        events.0.listen(events.1.cancelled_owned()).await;
        Ok(())
    });
    let runtime: RuntimeSlot = Arc::default();
    let repositories = repositories(config)?;
    if roles.contains(&Role::Api) {
        let readiness = Dependencies {
            store: store.clone(),
            runtime: roles.contains(&Role::Worker).then(|| runtime.clone()),
            router: (roles.contains(&Role::Router) && config.router == RouterKind::Builtin)
                .then(|| ControlClient::new(config.router_socket())),
        };
        let listener = socket::api(config, handed).await?;
        spawn_api(
            &mut tasks,
            (config, listener),
            (&store, &repositories),
            readiness,
            token,
        )?;
    }
    if let Some(succession) = succession {
        let parts = (
            (config.clone(), succession),
            store.clone(),
            repositories.clone(),
            engine_id,
            runtime.clone(),
        );
        tasks.spawn(worker(parts, token.clone()));
    }
    tracing::info!(api = config.api_public_url, base_domain = %config.base_domain, "ready");
    socket::tell_systemd(&[NotifyState::Ready]);
    let ends = token.clone();
    tasks.spawn(async move {
        ends.cancelled().await;
        socket::tell_systemd(&[NotifyState::Stopping]);
        Ok(())
    });
    let result = until_end(&mut tasks, token).await;
    store.close().await;
    result
}

/// Waits for the signal; a role that ends before it takes the others with it.
async fn until_end(tasks: &mut JoinSet<anyhow::Result<()>>, token: &CancellationToken) -> anyhow::Result<()> {
    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.context("a role of the engine panicked").and_then(|ended| ended);
        if ended.is_err() && result.is_ok() {
            result = ended;
        }
        token.cancel();
    }
    result
}

/// The store, as soon as the database answers and has this version's schema; nothing when the engine ends before that.
async fn open_store(config: &Config, url: String, token: &CancellationToken) -> anyhow::Result<Option<Store>> {
    let options = StoreOptions {
        url,
        max_connections: config.database_connections,
        master_key: master_key::load_or_create(&config.master_key_file)?,
    };
    let store = Store::connect(options).await.context("database_url")?;
    tokio::select! {
        () = token.cancelled() => return Ok(None),
        answers = until_database_answers(config, &store) => answers?,
    }
    store
        .migrate()
        .await
        .context("the database cannot be brought to this version's schema")?;
    Ok(Some(store))
}

async fn until_database_answers(config: &Config, store: &Store) -> anyhow::Result<()> {
    // After a crash our own server has to go through its log first, which must not be cut short.
    let (patience, remedy) = match config.database_url {
        None => (
            Duration::from_secs(300),
            format!("see {}", config.postgres_log().display()),
        ),
        Some(_) => (
            Duration::from_secs(60),
            "check database_url and that the server runs".to_owned(),
        ),
    };
    let start = Instant::now();
    let mut told = start;
    while let Err(error) = store.ping().await {
        if start.elapsed() > patience {
            return Err(error).with_context(|| format!("the database does not answer; {remedy}"));
        }
        if told.elapsed() > Duration::from_secs(4) {
            told = Instant::now();
            let error = format!("{:#}", anyhow::Error::from(error));
            tracing::warn!(
                error,
                patience_seconds = patience.as_secs(),
                "waiting for the database; {remedy}"
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

fn repositories(config: &Config) -> anyhow::Result<Repositories> {
    Ok(Repositories::new(SourceConfig {
        root: config.repositories_dir(),
        git: find_git()?,
        hook: std::env::current_exe().context("cannot find the program's own path")?,
        max_pack_bytes: config.max_repository_bytes,
        fetch: FetchPolicy {
            allow_private: config.source_allow_private.clone(),
            max_bytes: config.max_repository_bytes,
            ..FetchPolicy::default()
        },
    }))
}

/// The first git on PATH.
pub fn find_git() -> anyhow::Result<PathBuf> {
    let path = crate::environment("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
    let found = path
        .split(':')
        .map(|dir| PathBuf::from(dir).join("git"))
        .find(|git| git.is_file());
    found.context("git is not installed; install it (apt-get install git)")
}

fn spawn_api(
    tasks: &mut JoinSet<anyhow::Result<()>>,
    (config, listener): (&Config, tokio::net::TcpListener),
    (store, repositories): (&Store, &Repositories),
    readiness: Dependencies,
    token: &CancellationToken,
) -> anyhow::Result<()> {
    let api_config = ApiConfig {
        base_domain: config.base_domain.clone(),
        public_url: config.api_public_url.parse().context("api.public_url")?,
        app_scheme: "http",
        app_port: Some(config.router_public_port).filter(|port| *port != 80),
        hook_socket: config.hook_socket(),
    };
    let state = ApiState::new(
        store.clone(),
        repositories.clone(),
        api_config,
        Arc::new(readiness),
        token.clone(),
    )
    .with_outlook(Arc::new(Commits {
        repositories: repositories.clone(),
        base_images: docker::builder_config(config)?.base_images,
    }));
    let hook = windlass_api::bind_hook(&config.hook_socket()).context("the hook's socket cannot be bound")?;
    let (hook_state, hook_token) = (state.clone(), token.clone());
    tasks.spawn(async move { Ok(windlass_api::serve_hook(hook, hook_state, hook_token).await?) });
    let token = token.clone();
    tasks.spawn(async move { Ok(windlass_api::serve(listener, windlass_api::router(state), token).await?) });
    Ok(())
}

/// The worker role; waits for Docker first.
async fn worker(
    ((config, succession), store, repositories, engine_id, slot): (
        (Config, Succession),
        Store,
        Repositories,
        String,
        RuntimeSlot,
    ),
    token: CancellationToken,
) -> anyhow::Result<()> {
    let docker = loop {
        match docker::connect(&config, &engine_id).await {
            Ok(docker) => break docker,
            Err(error) => tracing::warn!(error = format!("{error:#}"), "waiting for the Docker Engine"),
        }
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    };
    let builder = Builder::new(docker.docker().clone(), docker::builder_config(&config)?);
    let runtime: Arc<dyn Runtime> = Arc::new(docker.clone());
    *slot.write().expect("no holder of this lock panics") = Some(runtime.clone());
    let entrypoints = config.traefik_entrypoints.clone();
    let edge: Arc<dyn Edge> = match config.router {
        RouterKind::Builtin => {
            let (own, runtime, token) = (config.clone(), runtime.clone(), token.clone());
            tokio::spawn(async move { token.run_until_cancelled(edge::clear_away(&own, runtime)).await });
            Arc::new(BuiltinEdge::new(config.router_socket(), entrypoints))
        }
        RouterKind::Traefik => {
            let gates = edge::gates(&config, &docker).await?;
            Arc::new(TraefikEdge::new(entrypoints, gates, runtime.clone()))
        }
    };
    let disk = docker::disk_limits(&config);
    let config = WorkerConfig {
        base_domain: config.base_domain.clone(),
        app_scheme: "http",
        app_port: Some(config.router_public_port).filter(|port| *port != 80),
        network_pool: config.network_pool,
        engine_id,
        lease: config.lease,
        builds: config.concurrent_builds,
        keep_releases: config.keep_releases,
        disk,
    };
    let parts = WorkerParts {
        id: WorkerId(succession.id),
        predecessor: succession.predecessor.map(WorkerId),
        store,
        runtime,
        builder,
        repositories,
        edge,
        config,
    };
    Worker::new(parts, token).run().await;
    Ok(())
}

/// Shows the setup token once, and keeps it for the operator until it is redeemed.
fn welcome(config: &Config, setup: &Secret<String>) -> anyhow::Result<()> {
    write_setup_token(config, setup)?;
    let url = &config.api_public_url;
    let port = if config.router_public_port == 80 {
        String::new()
    } else {
        format!(":{}", config.router_public_port)
    };
    println!(
        "\nWelcome to Windlass.\n\n  API          {url}\n  Apps         http://APP.{}{port}\n  Setup token  {} (works once)\n\n\
         Log in:\n\n  {}\n\nThen, in a git repository:\n\n  windlass apps create hello\n  git push windlass main\n",
        config.base_domain,
        setup.expose(),
        login_command(config)
    );
    Ok(())
}

/// The token is read from its file: what stands on a command line stands in the shell's history and in the process list.
fn login_command(config: &Config) -> String {
    format!(
        "windlass login {} --setup-token - < {}",
        config.api_public_url,
        config.setup_token_file().display()
    )
}

fn write_setup_token(config: &Config, setup: &Secret<String>) -> anyhow::Result<()> {
    let path = config.setup_token_file();
    let mut file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)?;
    writeln!(file, "{}", setup.expose()).with_context(|| format!("cannot write {}", path.display()))
}

/// Removes the file of the setup token as soon as the token has been redeemed.
async fn forget_setup_token(path: PathBuf, store: Store, token: CancellationToken) -> anyhow::Result<()> {
    let mut clock = tokio::time::interval(Duration::from_secs(2));
    loop {
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            _ = clock.tick() => {}
        }
        if path.exists() && store.setup_token_waits().await.is_ok_and(|waits| !waits) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
}

/// `windlassd setup-token`: for whoever lost the first one.
pub fn setup_token(config: &Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let url = match &config.database_url {
            Some(url) => url.clone(),
            None => running_database(config)?,
        };
        let master_key = master_key::load_or_create(&config.master_key_file)?;
        let store = Store::connect(StoreOptions {
            url,
            max_connections: 3,
            master_key,
        })
        .await?;
        let setup = store.reset_setup_token().await?;
        write_setup_token(config, &setup)?;
        println!("{}\n\n  {}", setup.expose(), login_command(config));
        Ok(ExitCode::SUCCESS)
    })
}

fn running_database(config: &Config) -> anyhow::Result<String> {
    let Some(_) = data_dir::running_engine(config)? else {
        bail!("no engine runs on {}; start it first", config.data_dir.display());
    };
    let directory = config.postgres_dir();
    ensure!(directory.join("run").exists(), "the embedded PostgreSQL is not there");
    Ok(crate::postgres::url(&directory))
}
