//! Deployments: asked for, listed, cancelled.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use windlass_api_types::{CreateDeployment, Deployment, DeploymentPlan, Page};
use windlass_domain::{CommitSha, DeploymentKind, DeploymentStatus, GitRef};
use windlass_source::{Repositories, SourceError};
use windlass_store::{AppRow, CancelOutcome, DeploymentRow, NewDeployment, Store, Trigger};

use crate::{
    ApiConfig,
    description::Conflict,
    extract::{
        AppPath, Cursor, DeploymentPath, DryRun, Listing, OptionalBody, OwnApp, OwnDeployment, Planning, UsableApp,
        page,
    },
    problem::{Kind, Problem, chain},
    views,
};

/// List the deployments of an app, newest first.
#[utoipa::path(
    get, path = "/apps/{app}/deployments", tag = "deployments", params(AppPath, Cursor),
    responses((status = 200, body = Page<Deployment>)),
)]
pub(crate) async fn list_deployments(
    OwnApp { actor, app }: OwnApp,
    listing: Listing,
    State(store): State<Store>,
    State(config): State<Arc<ApiConfig>>,
) -> Result<Response, Problem> {
    let rows = store.list_deployments(actor.team, app.id, listing.wanted).await?;
    Ok(page(&listing, &config, rows, |row| {
        views::deployment(row, &app.name, &config)
    }))
}

/// Deploy.
///
/// Deploys a `ref` of the app's `repo_url`, or a `commit` that was pushed before; with neither, the app's branch. An app without a
/// `repo_url` is deployed from what was pushed to it. With `dry_run` nothing is done: the answer says what would change.
#[utoipa::path(
    post, path = "/apps/{app}/deployments", tag = "deployments", params(AppPath, DryRun),
    request_body = Option<CreateDeployment>,
    responses(
        (status = 200, description = "With `dry_run`: what would change", body = DeploymentPlan),
        (status = 202, description = "The deployment waits for a worker", body = Deployment,
         headers(("Location" = String, description = "Its address"))),
        (status = 409, response = Conflict),
    ),
)]
pub(crate) async fn create_deployment(
    UsableApp { actor, app }: UsableApp,
    State(store): State<Store>,
    State(repositories): State<Repositories>,
    Planning { planner, dry_run }: Planning,
    OptionalBody(body): OptionalBody<CreateDeployment>,
) -> Result<Response, Problem> {
    let commits = if dry_run.unpushed() {
        Commits::MayBeMissing
    } else {
        Commits::MustBeHere
    };
    let (kind, reference, message) = wanted(&repositories, &app, body, commits).await?;
    if dry_run.wanted() {
        return Ok(Json(planner.plan(&app, kind, reference).await?).into_response());
    }
    let warnings = planner.warnings(&app, &kind).await?;
    let commit = match &kind {
        DeploymentKind::Push { commit } => Some(commit.clone()),
        _ => None,
    };
    let new = NewDeployment {
        kind,
        trigger: Trigger::Api,
        reference,
        commit: commit.clone(),
        message,
        by: Some(actor.token),
    };
    let row = store.create_deployment(actor.team, app.id, new).await?;
    let row = row.ok_or_else(Problem::app_deleting)?;
    if let Some(commit) = commit
        && let Err(error) = repositories.keep(app.id, row.id, &commit).await
    {
        // It was pushed, so it stays for weeks without a ref: the deployment can go on.
        tracing::warn!(error = chain(&error), deployment = %row.id, "a commit is not kept by a ref");
    }
    Ok(accepted(row, &app, warnings, planner.config()))
}

/// Get a deployment with its steps.
#[utoipa::path(
    get, path = "/apps/{app}/deployments/{deployment}", tag = "deployments", params(DeploymentPath),
    responses((status = 200, body = Deployment)),
)]
pub(crate) async fn get_deployment(
    OwnDeployment { actor, app, deployment }: OwnDeployment,
    State(store): State<Store>,
    State(config): State<Arc<ApiConfig>>,
) -> Result<Json<Deployment>, Problem> {
    let steps = store.deployment_steps(actor.team, deployment.id).await?;
    Ok(Json(views::deployment_in_full(deployment, steps, &app.name, &config)))
}

/// Cancel a deployment.
///
/// One that waits is cancelled at once, one that goes on soon after.
#[utoipa::path(
    post, path = "/apps/{app}/deployments/{deployment}/cancel", tag = "deployments", params(DeploymentPath),
    responses(
        (status = 202, description = "The deployment is, or will be, cancelled", body = Deployment),
        (status = 409, response = Conflict),
    ),
)]
pub(crate) async fn cancel_deployment(
    OwnDeployment { actor, app, deployment }: OwnDeployment,
    State(store): State<Store>,
    State(config): State<Arc<ApiConfig>>,
) -> Result<Response, Problem> {
    match store
        .request_cancel(actor.team, app.id, deployment.id, actor.token)
        .await?
    {
        CancelOutcome::Requested(row) => Ok(accepted(*row, &app, Vec::new(), &config)),
        CancelOutcome::AlreadyOver(status) => Err(over(status, &deployment, &app)),
        CancelOutcome::NotFound => Err(Problem::not_found("the deployment is gone")),
    }
}

/// What ended can no longer be cancelled; what to do instead depends on how it ended.
fn over(status: DeploymentStatus, row: &DeploymentRow, app: &AppRow) -> Problem {
    let name = &app.name;
    let (detail, next) = match status {
        DeploymentStatus::Succeeded => (
            "the deployment is over: it succeeded, and what it made live cannot be cancelled".to_owned(),
            format!("to go back: windlass rollback -a {name}"),
        ),
        DeploymentStatus::Superseded => (
            match row.superseded_by {
                Some(newer) => format!("the deployment is over: it was superseded by {newer}"),
                None => "the deployment is over: it was superseded".to_owned(),
            },
            format!("windlass deployments -a {name} lists what is under way"),
        ),
        ended => (
            format!("the deployment is over: it is {} already", ended.as_str()),
            format!("windlass deployments info {} -a {name}", row.id),
        ),
    };
    Problem::new(Kind::DeploymentOver, detail).next(next)
}

/// A deployment that was begun, with its address and with what to know before it begins.
pub(crate) fn accepted(row: DeploymentRow, app: &AppRow, warnings: Vec<String>, config: &ApiConfig) -> Response {
    let location = config.public(&format!("/api/v1/apps/{}/deployments/{}", app.name, row.id));
    let body = Deployment {
        warnings,
        ..views::deployment(row, &app.name, config)
    };
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(body)).into_response()
}

/// What is to be deployed, the ref as it was named, and the commit's message if it is here.
type Wanted = (DeploymentKind, Option<String>, Option<String>);

/// Whether a commit must be in the app's repository.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Commits {
    MustBeHere,
    MayBeMissing,
}

async fn wanted(
    repositories: &Repositories,
    app: &AppRow,
    body: CreateDeployment,
    commits: Commits,
) -> Result<Wanted, Problem> {
    match (body.commit, body.reference) {
        (Some(_), Some(_)) => Err(Problem::field("/commit", "give either `ref` or `commit`")),
        (Some(commit), None) => {
            let commit: CommitSha = commit.parse().map_err(|error| Problem::field("/commit", error))?;
            if commits == Commits::MayBeMissing {
                return Ok((DeploymentKind::Push { commit }, None, None));
            }
            let message = pushed_message(repositories, app, &commit).await?;
            Ok((DeploymentKind::Push { commit }, None, Some(message)))
        }
        (None, reference) => {
            let asked = reference.as_deref().unwrap_or(app.settings.branch.as_str());
            let reference: GitRef = asked.parse().map_err(|error| Problem::field("/ref", error))?;
            if app.settings.repo_url.is_some() {
                let name = Some(reference.to_string());
                return Ok((
                    DeploymentKind::Fetch {
                        reference,
                        commit: None,
                    },
                    name,
                    None,
                ));
            }
            let commit = pushed_commit(repositories, app, &reference).await?;
            let message = pushed_message(repositories, app, &commit).await?;
            Ok((
                DeploymentKind::Push { commit },
                Some(reference.to_string()),
                Some(message),
            ))
        }
    }
}

async fn pushed_message(repositories: &Repositories, app: &AppRow, commit: &CommitSha) -> Result<String, Problem> {
    let found = or_nothing(repositories.describe(app.id, commit).await)?;
    found.map(|commit| commit.subject).ok_or_else(|| {
        Problem::field(
            "/commit",
            format!("the commit {} was not pushed to this app", commit.short()),
        )
        .next(format!("git push windlass HEAD:{}", app.settings.branch))
    })
}

async fn pushed_commit(repositories: &Repositories, app: &AppRow, reference: &GitRef) -> Result<CommitSha, Problem> {
    let found = or_nothing(repositories.resolve(app.id, reference).await)?;
    found.ok_or_else(|| {
        let detail = format!("the app has no repo_url, and `{reference}` was not pushed to it");
        Problem::field("/ref", detail).next(format!(
            "git push windlass HEAD:{}, or set the app's repo_url",
            app.settings.branch
        ))
    })
}

/// A repository that was never pushed to holds nothing.
fn or_nothing<T>(found: Result<Option<T>, SourceError>) -> Result<Option<T>, Problem> {
    match found {
        Err(SourceError::NoRepository(_)) => Ok(None),
        found => Ok(found?),
    }
}
