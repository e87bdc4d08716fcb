//! Formation: how many instances of each process type are wanted.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use http::StatusCode;
use windlass_api_types::{
    FieldProblem, FormationEntry, Items, PlannedScale, Restart, ScaleFormation, ScaleOutcome, ScalePlan,
};
use windlass_domain::ProcessType;
use windlass_store::{AppRow, FormationRow, ScaleError, Store};

use crate::{
    description::Conflict,
    extract::{AppPath, Body, LookAhead, OptionalBody, OwnApp, Parameters, UsableApp},
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
/// Those that are not named stay as they are; 0 stops a process type. With `dry_run` nothing is done: the answer says how many
/// instances of each there would be.
#[utoipa::path(
    patch, path = "/apps/{app}/formation", tag = "running", params(AppPath, LookAhead),
    request_body = ScaleFormation,
    responses((status = 200, body = ScaleOutcome), (status = 409, response = Conflict)),
)]
pub(crate) async fn scale_formation(
    UsableApp { actor, app }: UsableApp,
    State(store): State<Store>,
    Parameters(look_ahead): Parameters<LookAhead>,
    Body(body): Body<ScaleFormation>,
) -> Result<Json<ScaleOutcome>, Problem> {
    let quantities = checked(body)?;
    let of_process = |error| refused(error, |process| format!("/{process}"));
    if look_ahead.wanted() {
        let now = store.check_scale(actor.team, app.id, &quantities).await;
        let plan = planned(&app, now.map_err(of_process)?, quantities);
        return Ok(Json(ScaleOutcome::Planned(Box::new(plan))));
    }
    let scaled = store.scale(actor.team, app.id, &quantities).await;
    let rows = scaled.map_err(of_process)?;
    Ok(Json(ScaleOutcome::Scaled(views::formation(rows))))
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

/// What would become of the formation. Before the first release it may get process types that it does not have yet.
fn planned(app: &AppRow, rows: Vec<FormationRow>, quantities: BTreeMap<ProcessType, u32>) -> ScalePlan {
    let now: BTreeMap<ProcessType, u32> = rows.into_iter().map(|row| (row.process, row.quantity)).collect();
    let mut then = now.clone();
    then.extend(quantities);
    ScalePlan {
        app: app.name.to_string(),
        changed: then != now,
        warnings: scale_warnings(app, &now, &then),
        processes: then
            .into_iter()
            .map(|(process, to)| PlannedScale {
                from: now.get(&process).copied().unwrap_or(0),
                process: process.into(),
                to,
            })
            .collect(),
    }
}

fn scale_warnings(app: &AppRow, now: &BTreeMap<ProcessType, u32>, then: &BTreeMap<ProcessType, u32>) -> Vec<String> {
    let web = ProcessType::web();
    let goes_dark = then.get(&web) == Some(&0) && now.get(&web) != Some(&0);
    let no_web = goes_dark.then_some("no instance of web would be left: its host answers 503");
    let not_live = app
        .live
        .is_none()
        .then_some("nothing is live yet: this counts from the first deployment on");
    no_web.into_iter().chain(not_live).map(str::to_owned).collect()
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
