//! Whether something is to be done, or only looked at.

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{extract::Parameters, planner::Planner, problem::Problem};

/// Whether to do it. Other names are refused: with a mistyped `dry_run` it would be done.
#[derive(Clone, Copy, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DryRun {
    /// Whether nothing is to be done: the answer then says what would change.
    #[param(example = false)]
    dry_run: Option<bool>,
    /// With `dry_run`: whether the `commit` would be pushed before, so that it need not be here yet.
    #[param(example = false)]
    unpushed: Option<bool>,
}

impl DryRun {
    /// Whether nothing is to be done.
    pub(crate) fn wanted(self) -> bool {
        self.dry_run == Some(true)
    }

    /// Whether the commit need not be here.
    pub(crate) fn unpushed(self) -> bool {
        self.wanted() && self.unpushed == Some(true)
    }
}

/// Whether a change is to be made, or only looked at. Other names are refused: with a mistyped `dry_run` it would be made.
#[derive(Clone, Copy, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LookAhead {
    /// Whether nothing is to be done: the answer then says what would change.
    #[param(example = false)]
    dry_run: Option<bool>,
}

impl LookAhead {
    /// Whether nothing is to be done.
    pub(crate) fn wanted(self) -> bool {
        self.dry_run == Some(true)
    }
}

/// What the caller wants, and who looks ahead.
pub(crate) struct Planning {
    pub(crate) planner: Planner,
    pub(crate) dry_run: DryRun,
}

impl<S> FromRequestParts<S> for Planning
where
    Planner: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Parameters(dry_run) = Parameters::from_request_parts(parts, state).await?;
        Ok(Self {
            planner: Planner::from_ref(state),
            dry_run,
        })
    }
}
