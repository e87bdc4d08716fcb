//! The app that a path names, if it is the caller's. Another team's app is as missing as one that never was.

use axum::extract::{FromRef, FromRequestParts, Path};
use http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;
use windlass_domain::{AppName, log::clean_line};
use windlass_store::{Actor, AppRow, Store};

use crate::{extract::Caller, problem::Problem};

/// The path of an app.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AppPath {
    /// The app's name.
    #[param(example = "shop")]
    pub(crate) app: String,
}

/// An app of the caller's team.
pub(crate) struct OwnApp {
    pub(crate) actor: Actor,
    pub(crate) app: AppRow,
}

/// An app of the caller's team that is not being deleted.
pub(crate) struct UsableApp {
    pub(crate) actor: Actor,
    pub(crate) app: AppRow,
}

impl<S> FromRequestParts<S> for OwnApp
where
    Store: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Caller(actor) = Caller::from_request_parts(parts, state).await?;
        let path = Path::<AppPath>::from_request_parts(parts, state).await;
        let Path(AppPath { app }) = path.map_err(|_| Problem::not_found("the path is not valid"))?;
        let app = find(&Store::from_ref(state), &actor, &app).await?;
        Ok(Self { actor, app })
    }
}

impl<S> FromRequestParts<S> for UsableApp
where
    Store: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let OwnApp { actor, app } = OwnApp::from_request_parts(parts, state).await?;
        if app.deleting {
            return Err(Problem::app_deleting());
        }
        Ok(Self { actor, app })
    }
}

/// The actor's app of this name.
pub(crate) async fn find(store: &Store, actor: &Actor, name: &str) -> Result<AppRow, Problem> {
    let missing = || {
        Problem::not_found(format!("there is no app `{}`", clean_line(name, 60)))
            .next("`windlass apps` lists your apps; `windlass apps create NAME` makes one")
    };
    let parsed: AppName = name.parse().map_err(|_| missing())?;
    store.app(actor.team, &parsed).await?.ok_or_else(missing)
}
