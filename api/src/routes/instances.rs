//! Instances.

use axum::{Json, extract::State};
use windlass_api_types::{Instance, Items};
use windlass_store::Store;

use crate::{
    extract::{AppPath, OwnApp},
    problem::Problem,
    views,
};

/// List the instances of an app.
///
/// Those that run, and the last of those that ended within an hour.
#[utoipa::path(
    get, path = "/apps/{app}/instances", tag = "running", params(AppPath),
    responses((status = 200, body = Items<Instance>)),
)]
pub(crate) async fn list_instances(
    OwnApp { actor, app }: OwnApp,
    State(store): State<Store>,
) -> Result<Json<Items<Instance>>, Problem> {
    let rows = store.list_instances(actor.team, app.id).await?;
    Ok(Json(Items {
        items: rows.into_iter().map(views::instance).collect(),
    }))
}
