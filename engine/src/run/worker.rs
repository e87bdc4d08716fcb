//! The worker role.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use windlass_builder::Builder;
use windlass_runtime::Runtime;
use windlass_source::Repositories;
use windlass_store::{Store, WorkerId};
use windlass_worker::{Edge, Worker, WorkerConfig, WorkerParts};

use crate::{
    config::{Config, RouterKind},
    data_dir::Succession,
    docker,
    edge::{self, BuiltinEdge, TraefikEdge},
    readiness::RuntimeSlot,
};

/// Waits for Docker first.
pub(super) async fn run(
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
