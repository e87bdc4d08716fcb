//! Instances.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;
use windlass_api_types::{Instance, Items};
use windlass_store::Store;

use crate::{
    extract::{AppPath, OwnApp, Parameters},
    problem::Problem,
    views,
};

/// Which instances.
#[derive(Clone, Copy, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Whether those are wanted, too, that have ended and that nobody misses: the last 20 of the last hour, of whichever release.
    #[param(example = false)]
    all: Option<bool>,
}

/// List the instances of an app.
///
/// Those that run, and in the place of each that is missing the one that crashed there last.
#[utoipa::path(
    get, path = "/apps/{app}/instances", tag = "running", params(AppPath, Which),
    responses((status = 200, body = Items<Instance>)),
)]
pub(crate) async fn list_instances(
    OwnApp { actor, app }: OwnApp,
    State(store): State<Store>,
    Parameters(which): Parameters<Which>,
) -> Result<Json<Items<Instance>>, Problem> {
    let rows = if which.all == Some(true) {
        store.list_all_instances(actor.team, app.id).await?
    } else {
        store.list_instances(actor.team, app.id).await?
    };
    Ok(Json(Items {
        items: rows.into_iter().map(views::instance).collect(),
    }))
}
