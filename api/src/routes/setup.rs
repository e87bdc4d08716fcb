//! The first token: in exchange for the one that the first start printed.

use axum::{Json, extract::State};
use http::StatusCode;
use windlass_api_types::{RedeemSetupToken, SetUp};
use windlass_domain::Secret;
use windlass_store::Store;

use crate::{description::Unauthorized, extract::Body, problem::Problem, routes::tokens::checked_name};

/// Redeem the setup token.
///
/// Works once. It needs no other token, and gives an API token for everything else.
#[utoipa::path(
    post, path = "/setup", tag = "access", security(()), request_body = RedeemSetupToken,
    responses((status = 201, description = "The server is set up", body = SetUp), (status = 401, response = Unauthorized)),
)]
pub(crate) async fn redeem_setup_token(
    State(store): State<Store>,
    Body(body): Body<RedeemSetupToken>,
) -> Result<(StatusCode, Json<SetUp>), Problem> {
    let name = checked_name(body.name.as_deref().unwrap_or("setup"))?;
    let redeemed = store.redeem_setup_token(&Secret::new(body.setup_token), &name).await?;
    let (row, token) = redeemed.ok_or_else(|| {
        Problem::unauthorized("the setup token is not known, or was redeemed before", "SetupToken")
            .next("take it from the output of the server's first start, or make a new one with `windlassd setup-token`")
    })?;
    let body = SetUp {
        token: token.expose().clone(),
        team: row.team.to_string(),
    };
    Ok((StatusCode::CREATED, Json(body)))
}
