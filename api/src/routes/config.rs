//! Config vars.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use windlass_api_types::{Config, ConfigChanges, ConfigOutcome, FieldProblem};
use windlass_domain::{ConfigKey, DeploymentKind, Secret};
use windlass_store::Store;

use crate::{
    description::Conflict,
    extract::{AppPath, Body, LookAhead, OwnApp, Parameters, UsableApp},
    planner::Planner,
    problem::{Problem, field},
    views,
};

/// Linux allows 128 KiB for one variable with its name.
const MAX_VALUE_BYTES: usize = 64 * 1024;

/// Get the config vars of an app.
#[utoipa::path(get, path = "/apps/{app}/config", tag = "config", params(AppPath), responses((status = 200, body = Config)))]
pub(crate) async fn get_config(
    OwnApp { actor, app }: OwnApp,
    State(store): State<Store>,
) -> Result<Json<Config>, Problem> {
    let config = store.config(actor.team, app.id).await?;
    Ok(Json(views::config(&config)))
}

/// Set and delete config vars.
///
/// Null deletes a var; vars that are not named stay. When a release is live, a change makes a new release of the running image. With
/// `dry_run` nothing is done: the answer says which vars would change, without their values, and what the deployment would do.
#[utoipa::path(
    patch, path = "/apps/{app}/config", tag = "config", params(AppPath, LookAhead), request_body = ConfigChanges,
    responses((status = 200, body = ConfigOutcome), (status = 409, response = Conflict)),
)]
pub(crate) async fn update_config(
    UsableApp { actor, app }: UsableApp,
    State(store): State<Store>,
    State(planner): State<Planner>,
    Parameters(look_ahead): Parameters<LookAhead>,
    Body(body): Body<ConfigChanges>,
) -> Result<Json<ConfigOutcome>, Problem> {
    let changes = checked(body)?;
    if look_ahead.wanted() {
        let plan = planner.config_plan(&app, &changes).await?;
        return Ok(Json(ConfigOutcome::Planned(Box::new(plan))));
    }
    let patched = store.patch_config(actor.team, app.id, &changes, actor.token).await?;
    let patched = patched.ok_or_else(Problem::app_deleting)?;
    let mut changed = views::config_changed(patched, &app.name, planner.config());
    if let Some(deployment) = &mut changed.deployment {
        deployment.warnings = planner.warnings(&app, &DeploymentKind::Config).await?;
    }
    Ok(Json(ConfigOutcome::Changed(Box::new(changed))))
}

fn checked(body: ConfigChanges) -> Result<BTreeMap<ConfigKey, Option<Secret>>, Problem> {
    let mut changes = BTreeMap::new();
    let mut problems: Vec<FieldProblem> = Vec::new();
    for (name, value) in body.0 {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        if let Some(problem) = value.as_deref().and_then(value_problem) {
            problems.push(field(pointer.clone(), problem));
        }
        match name.parse::<ConfigKey>() {
            Ok(key) => drop(changes.insert(key, value.map(Secret::new))),
            Err(error) => problems.push(field(pointer, error)),
        }
    }
    if problems.is_empty() {
        Ok(changes)
    } else {
        Err(Problem::invalid(problems))
    }
}

/// What keeps a text from being the value of an environment variable.
fn value_problem(value: &str) -> Option<&'static str> {
    if value.len() > MAX_VALUE_BYTES {
        Some("must have 65536 bytes at most")
    } else if value.contains('\0') {
        Some("must not contain a NUL character")
    } else {
        None
    }
}
