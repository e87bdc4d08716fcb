//! Apps.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use futures::{StreamExt, TryStreamExt, stream};
use http::{HeaderName, StatusCode, header};
use rand::RngCore;
use windlass_api_types::{App, CreateApp, Page, UpdateApp};
use windlass_domain::{AppName, AppSettings, Secret};
use windlass_source::deploy_key;
use windlass_store::{AppRow, CreateAppError, NewApp, Page as Wanted, PageOf, Store, StoreError};

use crate::{
    ApiConfig,
    description::Conflict,
    extract::{AppPath, Body, Caller, Cursor, Listing, OwnApp, UsableApp, page},
    problem::{Kind, Problem, field},
    settings,
    views::{self, Progress},
};

/// How many apps of a list are looked at at once.
const LOOK_AHEAD: usize = 4;

/// List the apps of the team.
#[utoipa::path(get, path = "/apps", tag = "apps", params(Cursor), responses((status = 200, body = Page<App>)))]
pub(crate) async fn list_apps(
    Caller(actor): Caller,
    listing: Listing,
    State(store): State<Store>,
    State(config): State<Arc<ApiConfig>>,
) -> Result<Response, Problem> {
    let rows = store.list_apps(actor.team, listing.wanted).await?;
    let looked = stream::iter(rows.items.into_iter().map(|row| with_progress(&store, row)));
    let rows = PageOf {
        items: looked.buffered(LOOK_AHEAD).try_collect::<Vec<_>>().await?,
        next: rows.next,
    };
    Ok(page(&listing, &config, rows, |(row, progress)| {
        views::app(row, progress, &config)
    }))
}

/// Create an app.
#[utoipa::path(
    post, path = "/apps", tag = "apps", request_body = CreateApp,
    responses(
        (status = 201, description = "The app was made", body = App, headers(("Location" = String, description = "Its address"))),
        (status = 409, response = Conflict),
    ),
)]
pub(crate) async fn create_app(
    Caller(actor): Caller,
    State(store): State<Store>,
    State(config): State<Arc<ApiConfig>>,
    Body(body): Body<CreateApp>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<App>), Problem> {
    let new = new_app(body)?;
    let name = new.name.clone();
    let row = store.create_app(actor.team, new).await.map_err(|error| match error {
        CreateAppError::NameTaken => Problem::new(Kind::NameTaken, format!("an app named `{name}` exists"))
            .next("choose another name; names are host names, so all teams share them"),
        CreateAppError::Store(error) => error.into(),
    })?;
    let location = config.public(&format!("/api/v1/apps/{name}"));
    let app = views::app(row, Progress::default(), &config);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(app)))
}

/// Get an app.
#[utoipa::path(get, path = "/apps/{app}", tag = "apps", params(AppPath), responses((status = 200, body = App)))]
pub(crate) async fn get_app(
    OwnApp { app, .. }: OwnApp,
    State(store): State<Store>,
    State(config): State<Arc<ApiConfig>>,
) -> Result<Json<App>, Problem> {
    show(&store, app, &config).await
}

/// Change the settings of an app.
///
/// An absent field stays as it is, null is the default. What runs is not touched: the next release is made with the new settings.
#[utoipa::path(
    patch, path = "/apps/{app}", tag = "apps", params(AppPath), request_body = UpdateApp,
    responses((status = 200, body = App), (status = 409, response = Conflict)),
)]
pub(crate) async fn update_app(
    UsableApp { actor, app }: UsableApp,
    State(store): State<Store>,
    State(config): State<Arc<ApiConfig>>,
    Body(body): Body<UpdateApp>,
) -> Result<Json<App>, Problem> {
    let settings = settings::changed(app.settings, body).map_err(Problem::invalid)?;
    let updated = store.update_app(actor.team, app.id, &settings).await?;
    show(&store, updated.ok_or_else(Problem::app_deleting)?, &config).await
}

/// Delete an app.
///
/// Stops it and removes its containers, images, network and repository. The answer comes before that is done: the app is gone, and
/// its name free again, when getting it answers 404.
#[utoipa::path(
    delete, path = "/apps/{app}", tag = "apps", params(AppPath),
    responses((status = 202, description = "The app is being deleted", body = App)),
)]
pub(crate) async fn delete_app(
    OwnApp { actor, app }: OwnApp,
    State(store): State<Store>,
    State(config): State<Arc<ApiConfig>>,
) -> Result<Response, Problem> {
    if !store.delete_app(actor.team, app.id).await? {
        return Err(Problem::not_found("the app is gone"));
    }
    let deleting = AppRow { deleting: true, ..app };
    Ok((
        StatusCode::ACCEPTED,
        Json(views::app(deleting, Progress::default(), &config)),
    )
        .into_response())
}

fn new_app(mut body: CreateApp) -> Result<NewApp, Problem> {
    let name = std::mem::take(&mut body.name).parse::<AppName>();
    let settings = settings::changed(AppSettings::default(), body.settings());
    let (name, settings) = match (name, settings) {
        (Ok(name), Ok(settings)) => (name, settings),
        (name, settings) => {
            let wrong_name = name.err().map(|error| field("/name", error));
            let wrong = wrong_name.into_iter().chain(settings.err().into_iter().flatten());
            return Err(Problem::invalid(wrong.collect()));
        }
    };
    let (deploy_key_private, deploy_key_public) = deploy_key::generate(&format!("windlass {name}"));
    Ok(NewApp {
        name,
        settings,
        deploy_key_public,
        deploy_key_private,
        webhook_secret: webhook_secret(),
    })
}

fn webhook_secret() -> Secret {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn show(store: &Store, row: AppRow, config: &ApiConfig) -> Result<Json<App>, Problem> {
    let (row, progress) = with_progress(store, row).await?;
    Ok(Json(views::app(row, progress, config)))
}

/// The app, and how it fares.
async fn with_progress(store: &Store, row: AppRow) -> Result<(AppRow, Progress), StoreError> {
    let newest = Wanted { after: None, limit: 1 };
    let newest = store.list_deployments(row.team, row.id, newest).await?;
    let progress = Progress {
        newest: newest.items.first().map(|deployment| deployment.status),
        crash_loops: store.crash_loops(row.team, row.id).await?,
    };
    Ok((row, progress))
}
