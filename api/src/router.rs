//! The whole API on one page. Each line registers a route and its description at once.

use axum::{Router, extract::DefaultBodyLimit, middleware::from_fn};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    ApiState, description,
    edge::edge,
    extract::max_body,
    problem::{Kind, Problem},
    routes::{
        account, app_log, apps, config, deployment_log, deployments, formation, git, health, instances, releases,
        setup, tokens, webhook_settings, webhooks,
    },
};

/// JSON bodies.
const MAX_JSON_BYTES: usize = 1 << 20;

/// What GitHub sends at most (docs.github.com, "Webhook events and payloads").
const MAX_WEBHOOK_BYTES: usize = 25 << 20;

/// The API as a service.
pub fn router(state: ApiState) -> Router {
    let (router, description) = described().split_for_parts();
    router
        .merge(description::pages(description::finished(description)))
        .fallback(async || Problem::not_found("there is nothing at this address").next("see /docs"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                Kind::MethodNotAllowed,
                "the address does not allow this method; the header Allow lists those it does",
            )
        })
        .layer(max_body(MAX_JSON_BYTES))
        .layer(CatchPanicLayer::custom(description::after_panic))
        .layer(from_fn(edge))
        .with_state(state)
}

/// The routes with their descriptions.
pub(crate) fn described() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(description::Description::openapi())
        .nest("/api/v1", api())
        .merge(git())
        .merge(forges())
        .routes(routes!(health::get_livez))
        .routes(routes!(health::get_readyz))
        .routes(routes!(health::get_health))
}

fn api() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(setup::redeem_setup_token))
        .routes(routes!(account::get_account))
        .routes(routes!(tokens::list_tokens, tokens::create_token))
        .routes(routes!(tokens::revoke_token))
        .routes(routes!(apps::list_apps, apps::create_app))
        .routes(routes!(apps::get_app, apps::update_app, apps::delete_app))
        .routes(routes!(config::get_config, config::update_config))
        .routes(routes!(deployments::list_deployments, deployments::create_deployment))
        .routes(routes!(deployments::get_deployment))
        .routes(routes!(deployments::cancel_deployment))
        .routes(routes!(deployment_log::get_deployment_log))
        .routes(routes!(releases::list_releases))
        .routes(routes!(releases::get_release))
        .routes(routes!(releases::roll_back))
        .routes(routes!(instances::list_instances))
        .routes(routes!(formation::get_formation, formation::scale_formation))
        .routes(routes!(formation::restart_app))
        .routes(routes!(app_log::get_app_log))
        .routes(routes!(
            webhook_settings::get_webhook,
            webhook_settings::set_webhook_secret
        ))
}

fn git() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(git::git_info_refs))
        .routes(routes!(git::git_upload_pack))
        .routes(routes!(git::git_receive_pack))
        // Bodies are streamed, and limited where they are read.
        .layer(DefaultBodyLimit::disable())
}

fn forges() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(webhooks::take_github_webhook))
        .layer(max_body(MAX_WEBHOOK_BYTES))
}
