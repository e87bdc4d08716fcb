//! The api role.

use std::sync::Arc;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use windlass_api::{ApiConfig, ApiState};
use windlass_source::Repositories;
use windlass_store::Store;

use crate::{config::Config, docker, outlook::Commits, readiness::Dependencies};

pub(super) fn spawn(
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
