//! API tokens.

use axum::{
    Json,
    extract::{Path, State},
};
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use windlass_api_types::{CreateToken, CreatedToken, Items, Token};
use windlass_domain::{TokenId, log::clean_line};
use windlass_store::Store;

use crate::{
    extract::{Body, Caller},
    problem::Problem,
    views,
};

/// The path of a token.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TokenPath {
    /// The token's id.
    #[param(example = "token_018f3a5e7b7c7d3f9a1b2c3d4e5f6071")]
    token: String,
}

/// List the tokens of the team.
///
/// Revoked tokens are left out.
#[utoipa::path(get, path = "/tokens", tag = "access", responses((status = 200, body = Items<Token>)))]
pub(crate) async fn list_tokens(
    Caller(actor): Caller,
    State(store): State<Store>,
) -> Result<Json<Items<Token>>, Problem> {
    let rows = store.list_tokens(actor.team).await?;
    let valid = rows.into_iter().filter(|row| row.revoked_at.is_none());
    Ok(Json(Items {
        items: valid.map(views::token).collect(),
    }))
}

/// Make a token.
///
/// The token itself is shown this once.
#[utoipa::path(
    post, path = "/tokens", tag = "access", request_body = CreateToken,
    responses((status = 201, description = "The token was made", body = CreatedToken)),
)]
pub(crate) async fn create_token(
    Caller(actor): Caller,
    State(store): State<Store>,
    Body(body): Body<CreateToken>,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    let (row, token) = store.create_token(actor.team, &checked_name(&body.name)?).await?;
    let body = CreatedToken {
        id: row.id.to_string(),
        name: row.name,
        token: token.expose().clone(),
        created_at: row.created_at,
    };
    Ok((StatusCode::CREATED, Json(body)))
}

/// Revoke a token.
///
/// It is refused from now on; it may be the very token that asks.
#[utoipa::path(
    delete, path = "/tokens/{token}", tag = "access", params(TokenPath),
    responses((status = 204, description = "The token is revoked")),
)]
pub(crate) async fn revoke_token(
    Caller(actor): Caller,
    State(store): State<Store>,
    Path(TokenPath { token }): Path<TokenPath>,
) -> Result<StatusCode, Problem> {
    let missing = || Problem::not_found(format!("there is no token `{}`", clean_line(&token, 60)));
    let id: TokenId = token.parse().map_err(|_| missing())?;
    if store.revoke_token(actor.team, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(missing())
    }
}

/// What an owner may call a token.
pub(crate) fn checked_name(name: &str) -> Result<String, Problem> {
    let name = name.trim();
    if (1..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
        return Ok(name.to_owned());
    }
    Err(Problem::field("/name", "must have 1 to 100 printable characters"))
}
