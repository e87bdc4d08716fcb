//! The deployment that a path names.

use axum::extract::{FromRef, FromRequestParts, Path};
use http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;
use windlass_domain::{DeploymentId, log::clean_line};
use windlass_store::{Actor, AppRow, DeploymentRow, Store};

use crate::{extract::OwnApp, problem::Problem};

/// The path of a deployment.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct DeploymentPath {
    /// The app's name.
    #[param(example = "shop")]
    #[serde(rename = "app")]
    _app: String,
    /// The deployment's id.
    #[param(example = "dpl_018f3a5e7b7c7d3f9a1b2c3d4e5f6071")]
    deployment: String,
}

/// A deployment of an app of the caller's team.
pub(crate) struct OwnDeployment {
    pub(crate) actor: Actor,
    pub(crate) app: AppRow,
    pub(crate) deployment: DeploymentRow,
}

impl<S> FromRequestParts<S> for OwnDeployment
where
    Store: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let OwnApp { actor, app } = OwnApp::from_request_parts(parts, state).await?;
        let path = Path::<DeploymentPath>::from_request_parts(parts, state).await;
        let Path(DeploymentPath { deployment, .. }) = path.map_err(|_| Problem::not_found("the path is not valid"))?;
        let missing = || {
            let shown = clean_line(&deployment, 60);
            Problem::not_found(format!("`{}` has no deployment `{shown}`", app.name))
                .next(format!("`windlass deployments -a {}` lists them", app.name))
        };
        let id: DeploymentId = deployment.parse().map_err(|_| missing())?;
        let row = Store::from_ref(state).deployment(actor.team, app.id, id).await?;
        let deployment = row.ok_or_else(missing)?;
        Ok(Self { actor, app, deployment })
    }
}
