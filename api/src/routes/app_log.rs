//! What the instances of an app print: the last lines, and a live tail.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::SecondsFormat;
use futures::{Stream, StreamExt, future};
use serde::Deserialize;
use utoipa::IntoParams;
use windlass_api_types::{AppLogLine, Items};
use windlass_domain::ProcessType;
use windlass_store::{RunLogRow, StoreError};

use crate::{
    ApiState,
    extract::{Accept, AppPath, LastEventId, OwnApp, Parameters},
    follow::{self, AppScope, Start},
    problem::{Problem, chain},
    routes::streams,
    views,
};

const MAX_LINES: u32 = 10_000;

/// Which lines of an app's log.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AppLogQuery {
    /// How many of the last lines; 100 if it is absent.
    #[param(minimum = 1, maximum = 10000, example = 100)]
    lines: Option<u32>,
    /// Only lines of this process type.
    #[param(example = "web")]
    process: Option<String>,
    /// Whether plain text goes on as a live tail.
    #[serde(default)]
    #[param(example = false)]
    follow: bool,
}

/// Read the log of an app, over all its instances.
///
/// The header `Accept` chooses the form: `application/json` is the last lines. `text/event-stream` is the last lines and then
/// those to come: events `line` with their `id`. `text/plain` is the last lines, or with `follow=true` a live tail.
#[utoipa::path(
    get, path = "/apps/{app}/logs", tag = "running",
    params(
        AppPath, AppLogQuery,
        ("Last-Event-ID" = Option<i64>, Header, description = "The `id` of the last line that was seen: goes on after it"),
    ),
    responses((status = 200, description = "The lines", content(
        (Items<AppLogLine> = "application/json"), (String = "text/event-stream"), (String = "text/plain"),
    ))),
)]
pub(crate) async fn get_app_log(
    OwnApp { actor, app }: OwnApp,
    Parameters(query): Parameters<AppLogQuery>,
    accept: Accept,
    LastEventId(last): LastEventId,
    State(state): State<ApiState>,
) -> Result<Response, Problem> {
    let lines = query.lines.unwrap_or(100);
    if !(1..=MAX_LINES).contains(&lines) {
        return Err(Problem::field("lines", format!("must be from 1 to {MAX_LINES}")));
    }
    let process = query.process.as_deref().map(str::parse::<ProcessType>).transpose();
    let process = process.map_err(|error| Problem::field("process", error))?;
    let scope = AppScope {
        store: state.store,
        team: actor.team,
        app: app.id,
        process,
        shutdown: state.shutdown,
    };
    let start = last.map_or(Start::Tail(lines), Start::After);
    match (accept, query.follow) {
        (Accept::Events, _) => Ok(streams::events(as_events(follow::app(scope, start)))),
        (Accept::Text | Accept::Any, true) => Ok(streams::lines(as_lines(follow::app(scope, start)))),
        (Accept::Text, false) => Ok(streams::text(scope.tail(lines).await?.iter().map(in_a_line))),
        (Accept::Json | Accept::Any, _) => {
            let rows = scope.tail(lines).await?;
            let items = rows.into_iter().map(views::app_log_line).collect();
            Ok(Json(Items { items }).into_response())
        }
    }
}

fn as_events(
    rows: impl Stream<Item = Result<RunLogRow, StoreError>> + Send + 'static,
) -> impl Stream<Item = axum::response::sse::Event> + Send + 'static {
    until_broken(rows).map(|row| {
        let id = row.id.to_string();
        streams::event("line", &views::app_log_line(row)).id(id)
    })
}

fn as_lines(
    rows: impl Stream<Item = Result<RunLogRow, StoreError>> + Send + 'static,
) -> impl Stream<Item = String> + Send + 'static {
    until_broken(rows).map(|row| in_a_line(&row))
}

fn until_broken(
    rows: impl Stream<Item = Result<RunLogRow, StoreError>> + Send + 'static,
) -> impl Stream<Item = RunLogRow> + Send + 'static {
    rows.map(|row| row.inspect_err(|error| tracing::error!(error = chain(error), "a log stream broke off")))
        .take_while(|row| future::ready(row.is_ok()))
        .filter_map(|row| future::ready(row.ok()))
}

fn in_a_line(row: &RunLogRow) -> String {
    let at = row.at.to_rfc3339_opts(SecondsFormat::Millis, true);
    format!("{at} {} | {}", row.instance, row.text)
}
