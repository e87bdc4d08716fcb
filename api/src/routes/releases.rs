//! Releases, and the way back to one.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::IntoParams;
use windlass_api_types::{Deployment, DeploymentPlan, Page, Release, RollBack};
use windlass_domain::{DeploymentKind, ReleaseVersion, log::clean_line};
use windlass_store::{RollbackError, Store};

use crate::{
    ApiConfig,
    description::Conflict,
    extract::{AppPath, Cursor, DryRun, Listing, OptionalBody, OwnApp, Planning, UsableApp, page},
    problem::{Kind, Problem},
    routes::deployments::accepted,
    views,
};

/// The path of a release.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ReleasePath {
    /// The app's name.
    #[param(example = "shop")]
    #[serde(rename = "app")]
    _app: String,
    /// The release's version.
    #[param(example = "v3")]
    version: String,
}

/// List the releases of an app, newest first.
#[utoipa::path(
    get, path = "/apps/{app}/releases", tag = "releases", params(AppPath, Cursor),
    responses((status = 200, body = Page<Release>)),
)]
pub(crate) async fn list_releases(
    OwnApp { actor, app }: OwnApp,
    listing: Listing,
    State(store): State<Store>,
    State(config): State<Arc<ApiConfig>>,
) -> Result<Response, Problem> {
    let rows = store.list_releases(actor.team, app.id, listing.wanted).await?;
    Ok(page(&listing, &config, rows, views::release))
}

/// Get a release.
#[utoipa::path(
    get, path = "/apps/{app}/releases/{version}", tag = "releases", params(ReleasePath),
    responses((status = 200, body = Release)),
)]
pub(crate) async fn get_release(
    OwnApp { actor, app }: OwnApp,
    State(store): State<Store>,
    Path(ReleasePath { version, .. }): Path<ReleasePath>,
) -> Result<Json<Release>, Problem> {
    let missing = || {
        let shown = clean_line(&version, 40);
        Problem::not_found(format!("`{}` has no release `{shown}`", app.name))
            .next(format!("`windlass releases -a {}` lists them", app.name))
    };
    let version: ReleaseVersion = version.parse().map_err(|_| missing())?;
    let row = store.release(actor.team, app.id, version).await?;
    Ok(Json(views::release(row.ok_or_else(missing)?)))
}

/// Go back to an earlier release.
///
/// Makes a new release of its image and its config vars, and makes that live as any other. Without `to`, the release before the
/// live one. With `dry_run` nothing is done: the answer says what would change.
#[utoipa::path(
    post, path = "/apps/{app}/rollback", tag = "releases", params(AppPath, DryRun), request_body = Option<RollBack>,
    responses(
        (status = 200, description = "With `dry_run`: what would change", body = DeploymentPlan),
        (status = 202, description = "The deployment waits for a worker", body = Deployment,
         headers(("Location" = String, description = "Its address"))),
        (status = 409, response = Conflict),
    ),
)]
pub(crate) async fn roll_back(
    UsableApp { actor, app }: UsableApp,
    State(store): State<Store>,
    Planning { planner, dry_run }: Planning,
    OptionalBody(body): OptionalBody<RollBack>,
) -> Result<Response, Problem> {
    let to = body.to.as_deref().map(str::parse::<ReleaseVersion>).transpose();
    let to = to.map_err(|error| Problem::field("/to", error))?;
    let target = store.rollback_target(actor.team, app.id, to).await.map_err(refused)?;
    let kind = DeploymentKind::Rollback { to: target.version };
    if dry_run.wanted() {
        return Ok(Json(planner.plan(&app, kind, None).await?).into_response());
    }
    let warnings = planner.warnings(&app, &kind).await?;
    let row = store
        .create_rollback(actor.team, app.id, to, actor.token)
        .await
        .map_err(refused)?;
    Ok(accepted(row, &app, warnings, planner.config()))
}

fn refused(error: RollbackError) -> Problem {
    let said = error.to_string();
    match error {
        RollbackError::NoSuchApp => Problem::app_deleting(),
        RollbackError::NoLiveRelease => Problem::new(Kind::NothingLive, said).next("deploy the app first"),
        RollbackError::NoSuchRelease(_) => Problem::field("/to", said).next("`windlass releases` lists them"),
        RollbackError::NothingBefore => Problem::new(Kind::NothingBefore, said).next("deploy another commit instead"),
        RollbackError::ImageGone(_) => Problem::new(Kind::ImageGone, said).next("deploy its commit again"),
        RollbackError::AlreadyLive => Problem::new(Kind::AlreadyLive, said).next("name another release in `to`"),
        RollbackError::Store(error) => error.into(),
    }
}
