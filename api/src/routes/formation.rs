//! Formation: how many instances of each process type are wanted.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use http::StatusCode;
use windlass_api_types::{FieldProblem, FormationEntry, Items, Restart, ScaleFormation};
use windlass_domain::ProcessType;
use windlass_store::{ScaleError, Store};

use crate::{
    description::Conflict,
    extract::{AppPath, Body, OptionalBody, OwnApp, UsableApp},
    problem::{Problem, field},
    views,
};

/// The schema allows no more.
const MAX_QUANTITY: u32 = 1000;

/// Get how many instances of each process type are wanted.
#[utoipa::path(
    get, path = "/apps/{app}/formation", tag = "running", params(AppPath),
    responses((status = 200, body = Items<FormationEntry>)),
)]
pub(crate) async fn get_formation(
    OwnApp { actor, app }: OwnApp,
    State(store): State<Store>,
) -> Result<Json<Items<FormationEntry>>, Problem> {
    Ok(Json(views::formation(store.formation(actor.team, app.id).await?)))
}

/// Scale process types.
///
/// Those that are not named stay as they are; 0 stops a process type.
#[utoipa::path(
    patch, path = "/apps/{app}/formation", tag = "running", params(AppPath), request_body = ScaleFormation,
    responses((status = 200, body = Items<FormationEntry>), (status = 409, response = Conflict)),
)]
pub(crate) async fn scale_formation(
    UsableApp { actor, app }: UsableApp,
    State(store): State<Store>,
    Body(body): Body<ScaleFormation>,
) -> Result<Json<Items<FormationEntry>>, Problem> {
    let quantities = checked(body)?;
    let scaled = store.scale(actor.team, app.id, &quantities).await;
    let rows = scaled.map_err(|error| refused(error, |process| format!("/{process}")))?;
    Ok(Json(views::formation(rows)))
}

/// Restart instances, new before old.
#[utoipa::path(
    post, path = "/apps/{app}/restart", tag = "running", params(AppPath), request_body = Option<Restart>,
    responses(
        (status = 202, description = "The instances are being replaced", body = Items<FormationEntry>),
        (status = 409, response = Conflict),
    ),
)]
pub(crate) async fn restart_app(
    UsableApp { actor, app }: UsableApp,
    State(store): State<Store>,
    OptionalBody(body): OptionalBody<Restart>,
) -> Result<(StatusCode, Json<Items<FormationEntry>>), Problem> {
    let process = body.process.as_deref().map(str::parse::<ProcessType>).transpose();
    let process = process.map_err(|error| Problem::field("/process", error))?;
    let restarted = store.restart(actor.team, app.id, process.as_ref()).await;
    restarted.map_err(|error| refused(error, |_| "/process".to_owned()))?;
    let rows = store.formation(actor.team, app.id).await?;
    Ok((StatusCode::ACCEPTED, Json(views::formation(rows))))
}

fn checked(body: ScaleFormation) -> Result<BTreeMap<ProcessType, u32>, Problem> {
    let mut quantities = BTreeMap::new();
    let mut problems: Vec<FieldProblem> = Vec::new();
    for (name, quantity) in body.0 {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        match name.parse::<ProcessType>() {
            Err(error) => problems.push(field(pointer, error)),
            Ok(process) if process.is_release() => {
                problems.push(field(
                    pointer,
                    "`release` runs once before a release goes live and is not scaled",
                ));
            }
            Ok(_) if quantity > MAX_QUANTITY => {
                problems.push(field(pointer, format!("must be from 0 to {MAX_QUANTITY}")));
            }
            Ok(process) => drop(quantities.insert(process, quantity)),
        }
    }
    if problems.is_empty() {
        Ok(quantities)
    } else {
        Err(Problem::invalid(problems))
    }
}

fn refused(error: ScaleError, pointer: impl FnOnce(&ProcessType) -> String) -> Problem {
    match error {
        ScaleError::NoSuchApp => Problem::app_deleting(),
        ScaleError::NoSuchProcess { process, known } => {
            let known: Vec<&str> = known.iter().map(ProcessType::as_str).collect();
            let detail = format!(
                "the live release has no process type `{process}`; it has {}",
                known.join(", ")
            );
            Problem::field(pointer(&process), detail).next("add it to the Procfile, and deploy")
        }
        ScaleError::Store(error) => error.into(),
    }
}
