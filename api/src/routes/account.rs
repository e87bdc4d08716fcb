//! Who am I, and whom do I talk to?

use std::sync::Arc;

use axum::{Json, extract::State};
use windlass_api_types::{Account, ServerFacts, TokenName};

use crate::{ApiConfig, extract::Caller};

/// Who asks, and whom.
#[utoipa::path(get, path = "/account", tag = "access", responses((status = 200, body = Account)))]
pub(crate) async fn get_account(Caller(actor): Caller, State(config): State<Arc<ApiConfig>>) -> Json<Account> {
    Json(Account {
        team: actor.team.to_string(),
        token: TokenName {
            id: actor.token.to_string(),
            name: actor.name,
        },
        server: ServerFacts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            base_domain: config.base_domain.to_string(),
            url: config.public(""),
        },
    })
}
