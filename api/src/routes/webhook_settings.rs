//! Where a forge shall send an app's webhooks, and what it signs them with.

use std::sync::Arc;

use axum::{Json, extract::State};
use windlass_api_types::{Webhook, WebhookSecret};
use windlass_domain::Secret;
use windlass_forge::Forge;
use windlass_store::Store;

use crate::{
    ApiConfig,
    description::Conflict,
    extract::{AppPath, Body, OwnApp, UsableApp},
    problem::Problem,
};

/// Get the address and the secret for webhooks.
#[utoipa::path(get, path = "/apps/{app}/webhook", tag = "webhooks", params(AppPath), responses((status = 200, body = Webhook)))]
pub(crate) async fn get_webhook(
    OwnApp { actor, app }: OwnApp,
    State(store): State<Store>,
    State(config): State<Arc<ApiConfig>>,
) -> Result<Json<Webhook>, Problem> {
    let secret = store.webhook_secret(actor.team, app.id).await?;
    let secret = secret.ok_or_else(|| Problem::not_found("the app is gone"))?;
    Ok(Json(webhook(&secret, &config)))
}

/// Set the secret for webhooks.
#[utoipa::path(
    put, path = "/apps/{app}/webhook", tag = "webhooks", params(AppPath), request_body = WebhookSecret,
    responses((status = 200, body = Webhook), (status = 409, response = Conflict)),
)]
pub(crate) async fn set_webhook_secret(
    UsableApp { actor, app }: UsableApp,
    State(store): State<Store>,
    State(config): State<Arc<ApiConfig>>,
    Body(body): Body<WebhookSecret>,
) -> Result<Json<Webhook>, Problem> {
    let printable = !body.secret.chars().any(char::is_control);
    if !printable || !(16..=256).contains(&body.secret.chars().count()) {
        return Err(Problem::field("/secret", "must have 16 to 256 printable characters"));
    }
    let secret = Secret::new(body.secret);
    if store.set_webhook_secret(actor.team, app.id, &secret).await? {
        Ok(Json(webhook(&secret, &config)))
    } else {
        Err(Problem::app_deleting())
    }
}

fn webhook(secret: &Secret, config: &ApiConfig) -> Webhook {
    Webhook {
        url: config.public(&format!("/webhooks/{}", Forge::GitHub.name())),
        secret: secret.expose().clone(),
    }
}
