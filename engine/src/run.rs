//! Wires the roles and owns their end.

mod api;
mod database;
mod worker;

use std::{net::TcpListener, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use sd_notify::NotifyState;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use windlass_router::control::ControlClient;
use windlass_source::{FetchPolicy, Repositories, SourceConfig};

use crate::{
    config::{Config, RouterKind},
    data_dir::{self, Succession},
    log_files, logging,
    readiness::{Dependencies, RuntimeSlot},
    roles::Role,
    router_process::{self, Router},
    setup_token, shutdown, socket,
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
    let (postgres, url) = database::server(config).await?;
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

async fn with_database(
    config: &Config,
    (roles, succession): (&[Role], Option<Succession>),
    url: String,
    handed: Option<TcpListener>,
    token: &CancellationToken,
) -> anyhow::Result<()> {
    // Whatever ends this, a fault or a signal, ends the rest of the process.
    let _ends = token.clone().drop_guard();
    let Some(store) = database::open_store(config, url, token).await? else {
        return Ok(());
    };
    let installation = store.install().await?;
    let engine_id = installation.engine_id.simple().to_string();
    if let Some(setup) = &installation.setup_token {
        setup_token::welcome(config, setup)?;
    }
    let mut tasks = JoinSet::new();
    if roles.contains(&Role::Api) {
        tasks.spawn(setup_token::forget_redeemed(
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
        api::spawn(
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
        tasks.spawn(worker::run(parts, token.clone()));
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
