//! The log of a deployment: as JSON, as a live stream, as text.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use futures::{Stream, StreamExt, future};
use serde::Deserialize;
use utoipa::IntoParams;
use windlass_api_types::{DeploymentLogLine, DeploymentLogPage};
use windlass_domain::LogLine;
use windlass_store::StoreError;

use crate::{
    ApiConfig, ApiState,
    extract::{Accept, DeploymentPath, LastEventId, OwnDeployment, Parameters},
    follow::{self, DeploymentScope, Followed},
    problem::{Problem, chain},
    routes::streams,
    views,
};

const MAX_LIMIT: u32 = 1000;

/// Which lines of a deployment's log.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogQuery {
    /// Only lines with a greater `seq`; a stream also takes `Last-Event-ID`, which counts more.
    #[param(minimum = 0, example = 0)]
    after: Option<i64>,
    /// How many lines of JSON; 1000 if it is absent.
    #[param(minimum = 1, maximum = 1000, example = 1000)]
    limit: Option<u32>,
    /// Whether plain text goes on until the deployment is over.
    #[serde(default)]
    #[param(example = false)]
    follow: bool,
}

struct Tail {
    scope: DeploymentScope,
    config: Arc<ApiConfig>,
    app: windlass_domain::AppName,
    after: i64,
}

/// Read the log of a deployment.
///
/// The header `Accept` chooses the form: `application/json` is the lines so far. `text/event-stream` is live until the
/// deployment is over: events `line` with their `seq` as `id`, then one event `end` with the deployment. `text/plain` is
/// the lines so far, or with `follow=true` live.
#[utoipa::path(
    get, path = "/apps/{app}/deployments/{deployment}/log", tag = "deployments",
    params(
        DeploymentPath, LogQuery,
        ("Last-Event-ID" = Option<i64>, Header, description = "The `seq` of the last line that was seen"),
    ),
    responses((status = 200, description = "The lines", content(
        (DeploymentLogPage = "application/json"), (String = "text/event-stream"), (String = "text/plain"),
    ))),
)]
pub(crate) async fn get_deployment_log(
    OwnDeployment { actor, app, deployment }: OwnDeployment,
    Parameters(query): Parameters<LogQuery>,
    accept: Accept,
    LastEventId(last): LastEventId,
    State(state): State<ApiState>,
) -> Result<Response, Problem> {
    let tail = Tail {
        scope: DeploymentScope {
            store: state.store,
            team: actor.team,
            app: app.id,
            deployment: deployment.id,
            shutdown: state.shutdown,
        },
        config: state.config,
        app: app.name,
        after: last.or(query.after).unwrap_or(0),
    };
    match (accept, query.follow) {
        (Accept::Events, _) => Ok(streams::events(as_events(tail))),
        (Accept::Text | Accept::Any, true) => Ok(streams::lines(as_lines(tail))),
        (Accept::Text, false) => Ok(streams::text(all(&tail).await?.into_iter().map(|line| line.text))),
        (Accept::Json | Accept::Any, _) => some(&tail, query.limit.unwrap_or(MAX_LIMIT)).await,
    }
}

async fn some(tail: &Tail, limit: u32) -> Result<Response, Problem> {
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::field("limit", format!("must be from 1 to {MAX_LIMIT}")));
    }
    let lines = read(&tail.scope, tail.after, limit).await?;
    let next = lines
        .last()
        .filter(|_| lines.len() == limit as usize)
        .map(|line| line.seq);
    let items = lines.into_iter().map(DeploymentLogLine::from).collect();
    Ok(Json(DeploymentLogPage { items, next }).into_response())
}

async fn all(tail: &Tail) -> Result<Vec<LogLine>, Problem> {
    let mut lines: Vec<LogLine> = Vec::new();
    loop {
        let after = lines.last().map_or(tail.after, |line| line.seq);
        let more = read(&tail.scope, after, MAX_LIMIT).await?;
        let done = more.len() < MAX_LIMIT as usize;
        lines.extend(more);
        if done {
            return Ok(lines);
        }
    }
}

async fn read(scope: &DeploymentScope, after: i64, limit: u32) -> Result<Vec<LogLine>, StoreError> {
    scope
        .store
        .deployment_log(scope.team, scope.deployment, after, limit)
        .await
}

fn as_events(tail: Tail) -> impl Stream<Item = axum::response::sse::Event> + Send + 'static {
    let followed = follow::deployment(tail.scope.clone(), tail.after);
    let tail = Arc::new(tail);
    let events = followed.then(move |next| {
        let tail = Arc::clone(&tail);
        async move {
            match next {
                Ok(Followed::Line(line)) => {
                    let id = line.seq.to_string();
                    Some(streams::event("line", &DeploymentLogLine::from(line)).id(id))
                }
                Ok(Followed::End(row)) => {
                    let steps = tail.scope.store.deployment_steps(tail.scope.team, row.id).await;
                    let deployment =
                        views::deployment_in_full(*row, steps.unwrap_or_default(), &tail.app, &tail.config);
                    Some(streams::event("end", &deployment))
                }
                Ok(Followed::Stopping) => None,
                Err(error) => {
                    tracing::error!(error = chain(&error), "a log stream broke off");
                    None
                }
            }
        }
    });
    events
        .take_while(|event| future::ready(event.is_some()))
        .filter_map(future::ready)
}

fn as_lines(tail: Tail) -> impl Stream<Item = String> + Send + 'static {
    follow::deployment(tail.scope, tail.after).filter_map(|next| {
        future::ready(match next {
            Ok(Followed::Line(line)) => Some(line.text),
            Ok(Followed::End(_)) => None,
            Ok(Followed::Stopping) => Some(" !     Windlass is restarting; the deployment goes on".to_owned()),
            Err(_) => Some(" !     The log broke off; the deployment goes on".to_owned()),
        })
    })
}
