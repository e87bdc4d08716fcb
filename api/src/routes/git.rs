//! git over HTTP (gitprotocol-http): clone, fetch and push, with an API token as password.

use axum::{
    body::Body,
    extract::{FromRef, FromRequestParts, Path, Request, State},
    response::{IntoResponse, Response},
};
use futures::TryStreamExt;
use http::{HeaderMap, HeaderName, StatusCode, header, request::Parts};
use serde::Deserialize;
use tokio_util::io::StreamReader;
use utoipa::IntoParams;
use windlass_source::{GitRequest, GitService, RequestBody};
use windlass_store::{Actor, AppRow, Store};

use crate::{
    ApiState,
    description::Conflict,
    extract::{GitCaller, Parameters, find_app},
    problem::{Kind, Problem},
    push::{SOCKET_VARIABLE, TICKET_VARIABLE, Ticket},
};

/// The path of a repository.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct RepositoryPath {
    /// The app's name and `.git`.
    #[param(example = "shop.git")]
    repository: String,
}

/// What git wants to do.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ServiceQuery {
    /// `git-upload-pack` or `git-receive-pack`.
    #[param(example = "git-receive-pack")]
    service: Option<String>,
}

/// The repository of an app of the caller's team.
pub(crate) struct OwnRepository {
    actor: Actor,
    app: AppRow,
}

impl<S> FromRequestParts<S> for OwnRepository
where
    Store: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let GitCaller(actor) = GitCaller::from_request_parts(parts, state).await?;
        let path = Path::<RepositoryPath>::from_request_parts(parts, state).await;
        let Path(RepositoryPath { repository }) = path.map_err(|_| Problem::not_found("the path is not valid"))?;
        let name = repository.strip_suffix(".git").unwrap_or(&repository);
        let app = find_app(&Store::from_ref(state), &actor, name).await?;
        if app.deleting {
            return Err(Problem::app_deleting());
        }
        Ok(Self { actor, app })
    }
}

/// List the refs of a repository, for git.
#[utoipa::path(
    get, path = "/git/{repository}/info/refs", tag = "git", security(("git" = [])), params(RepositoryPath, ServiceQuery),
    responses((status = 200, description = "The refs, in git's own format"), (status = 409, response = Conflict)),
)]
pub(crate) async fn git_info_refs(
    repository: OwnRepository,
    Parameters(query): Parameters<ServiceQuery>,
    State(state): State<ApiState>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let service = query.service.as_deref().and_then(GitService::from_name);
    let service = service.ok_or_else(|| {
        Problem::field("service", "must be `git-upload-pack` or `git-receive-pack`")
            .next("use a git client of this century: the dumb protocol is not served")
    })?;
    serve(&state, repository, service, (headers, None)).await
}

/// Clone and fetch, for git.
#[utoipa::path(
    post, path = "/git/{repository}/git-upload-pack", tag = "git", security(("git" = [])), params(RepositoryPath),
    responses((status = 200, description = "Objects, in git's own format"), (status = 409, response = Conflict)),
)]
pub(crate) async fn git_upload_pack(
    repository: OwnRepository,
    State(state): State<ApiState>,
    request: Request,
) -> Result<Response, Problem> {
    exchange(&state, repository, GitService::UploadPack, request).await
}

/// Push, for git.
///
/// A push to the app's branch deploys; the answer streams the log, and the push fails if the deployment does. Push options:
/// `no-deploy` stores without deploying, `detach` does not wait.
#[utoipa::path(
    post, path = "/git/{repository}/git-receive-pack", tag = "git", security(("git" = [])), params(RepositoryPath),
    responses((status = 200, description = "A report, in git's own format"), (status = 409, response = Conflict)),
)]
pub(crate) async fn git_receive_pack(
    repository: OwnRepository,
    State(state): State<ApiState>,
    request: Request,
) -> Result<Response, Problem> {
    exchange(&state, repository, GitService::ReceivePack, request).await
}

async fn exchange(
    state: &ApiState,
    repository: OwnRepository,
    service: GitService,
    request: Request,
) -> Result<Response, Problem> {
    let expected = format!("application/x-{}-request", service.name());
    if text(request.headers(), header::CONTENT_TYPE).as_deref() != Some(expected.as_str()) {
        let detail = format!("the header Content-Type must say `{expected}`");
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    let (parts, body) = request.into_parts();
    serve(state, repository, service, (parts.headers, Some(body))).await
}

/// Serves a request; one without a body asks for the refs.
async fn serve(
    state: &ApiState,
    OwnRepository { actor, app }: OwnRepository,
    service: GitService,
    (headers, body): (HeaderMap, Option<Body>),
) -> Result<Response, Problem> {
    state.repositories.ensure(app.id).await?;
    let pushes = service == GitService::ReceivePack && body.is_some();
    let request = GitRequest {
        app: app.id,
        service,
        advertise: body.is_none(),
        gzip: text(&headers, header::CONTENT_ENCODING).is_some_and(|coding| coding.contains("gzip")),
        protocol: text(&headers, HeaderName::from_static("git-protocol")),
        env: if pushes {
            hook_environment(state, &actor, &app)
        } else {
            Vec::new()
        },
        body: reader(body.unwrap_or_default()),
    };
    let response = state.repositories.serve(request).await?;
    let content_type = [(header::CONTENT_TYPE, response.content_type)];
    Ok((StatusCode::OK, content_type, Body::from_stream(response.body)).into_response())
}

/// How the hook finds back to us, and what it may do.
fn hook_environment(state: &ApiState, actor: &Actor, app: &AppRow) -> Vec<(String, String)> {
    let ticket = state.tickets.issue(Ticket {
        team: actor.team,
        app: app.id,
        token: actor.token,
    });
    vec![
        (
            SOCKET_VARIABLE.to_owned(),
            state.config.hook_socket.display().to_string(),
        ),
        (TICKET_VARIABLE.to_owned(), ticket),
    ]
}

fn reader(body: Body) -> RequestBody {
    Box::pin(StreamReader::new(
        body.into_data_stream().map_err(std::io::Error::other),
    ))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_ascii_lowercase())
}
