//! The API's description of itself: OpenAPI 3.1, and a page to browse it that needs no internet.

use std::any::Any;

use axum::{
    Json, Router,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use utoipa::{
    Modify, OpenApi, ToResponse,
    openapi::{
        Components, ContentBuilder, Ref, RefOr, Response as Described, ResponseBuilder,
        path::{Operation, Parameter, ParameterIn, PathItem},
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::SwaggerUi;
use windlass_api_types::Problem as Document;

use crate::{
    ApiState,
    problem::{Kind, Problem},
    router,
};

const ADDRESS: &str = "/api/v1/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Windlass",
        description = "Push code, get a running app: apps, deployments, releases, logs and webhooks of one Windlass.\n\n\
                       Every answer that is no success is a problem (RFC 9457) with a stable `code`, the fields that are wrong \
                       in `errors`, and the request's id in `instance`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "apps", description = "What runs"),
        (name = "config", description = "Config vars of an app"),
        (name = "deployments", description = "Attempts to make a revision or a release live"),
        (name = "releases", description = "What was, and is, live"),
        (name = "running", description = "Instances, formation and logs"),
        (name = "webhooks", description = "Deployments by a forge"),
        (name = "git", description = "Repositories over git's smart HTTP"),
        (name = "access", description = "Tokens"),
        (name = "health", description = "The server itself"),
    ),
    components(schemas(Document)),
    modifiers(&Schemes),
    security(("bearer" = [])),
)]
pub(crate) struct Description;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_with(Components::default);
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API token, as `windlass tokens create` makes it"))
            .build();
        let mut git = Http::new(HttpAuthScheme::Basic);
        git.description = Some("Any user name, an API token as password".to_owned());
        let signature = ApiKeyValue::with_description(
            "X-Hub-Signature-256",
            "`sha256=` and the HMAC-SHA256 of the raw body with the app's webhook secret",
        );
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        components.add_security_scheme("git", SecurityScheme::Http(git));
        components.add_security_scheme("github_signature", SecurityScheme::ApiKey(ApiKey::Header(signature)));
    }
}

/// The shared problems: name, status, and what it means.
const PROBLEMS: [(&str, &str, &str); 9] = [
    ("Malformed", "400", "The request cannot be read"),
    ("Unauthorized", "401", "No credential, or one that does not fit"),
    ("NotFound", "404", "There is no such thing, or it is another team's"),
    ("Conflict", "409", "The state of things does not allow it"),
    ("TooLarge", "413", "The body is too large"),
    ("UnsupportedMediaType", "415", "The body has another type than expected"),
    ("InvalidRequest", "422", "Fields are not valid; `errors` names them"),
    ("Internal", "500", "Windlass failed"),
    (
        "Unavailable",
        "503",
        "The database does not answer; `Retry-After` says when to try again",
    ),
];

/// A problem that an operation names itself, because not every operation of its kind can meet it.
macro_rules! named_problem {
    ($name:ident) => {
        pub(crate) struct $name;

        impl<'r> ToResponse<'r> for $name {
            fn response() -> (&'r str, RefOr<Described>) {
                (stringify!($name), RefOr::T(problem_response("")))
            }
        }
    };
}

named_problem!(Conflict);
named_problem!(Unauthorized);

/// The description of the whole API (OpenAPI 3.1).
pub fn openapi() -> utoipa::openapi::OpenApi {
    finished(router::described().into_openapi())
}

/// Adds what all operations have in common: the problems that each may answer with.
pub(crate) fn finished(mut openapi: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let components = openapi.components.get_or_insert_with(Components::default);
    for (name, _, description) in PROBLEMS {
        components
            .responses
            .insert(name.to_owned(), RefOr::T(problem_response(description)));
    }
    for (path, item) in &mut openapi.paths.paths {
        let takes_names = path.contains('{');
        for operation in operations(item) {
            describe_answers(operation);
            add_problems(operation, takes_names);
        }
    }
    openapi
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get,
        post,
        put,
        patch,
        delete,
        ..
    } = item;
    [get, post, put, patch, delete].into_iter().flatten()
}

/// An answer must have a description, even where the operation's own says all.
fn describe_answers(operation: &mut Operation) {
    for answer in operation.responses.responses.values_mut() {
        if let RefOr::T(answer) = answer
            && answer.description.is_empty()
        {
            answer.description = "Done".to_owned();
        }
    }
}

fn add_problems(operation: &mut Operation, takes_names: bool) {
    let is_health = operation
        .tags
        .as_ref()
        .is_some_and(|tags| tags.iter().any(|tag| tag == "health"));
    if is_health {
        return;
    }
    let open = operation.security.as_ref().is_some_and(|needed| {
        needed
            .iter()
            .any(|requirement| *requirement == utoipa::openapi::SecurityRequirement::default())
    });
    let has_body = operation.request_body.is_some();
    let has_parameters = operation
        .parameters
        .as_ref()
        .is_some_and(|all| all.iter().any(is_in_query));
    for (name, status, _) in PROBLEMS {
        let applies = match name {
            "Conflict" => false,
            "Unauthorized" => !open,
            "NotFound" => takes_names,
            "Malformed" | "TooLarge" | "UnsupportedMediaType" => has_body,
            "InvalidRequest" => has_body || has_parameters,
            _ => true,
        };
        if applies && !operation.responses.responses.contains_key(status) {
            let reference = Ref::from_response_name(name);
            operation
                .responses
                .responses
                .insert(status.to_owned(), RefOr::Ref(reference));
        }
    }
}

fn is_in_query(parameter: &RefOr<Parameter>) -> bool {
    matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query)
}

fn problem_response(description: &str) -> Described {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content)
        .build()
}

/// The description, and the page to browse it.
pub(crate) fn pages(openapi: utoipa::openapi::OpenApi) -> Router<ApiState> {
    let document = json!(openapi);
    let swagger = SwaggerUi::new("/docs").config(utoipa_swagger_ui::Config::from(ADDRESS).validator_url("none"));
    Router::new()
        .route(ADDRESS, get(async move || Json(document.clone())))
        .merge(swagger)
}

/// What is answered when a handler panics: a fault of ours, as every other.
pub(crate) fn after_panic(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = text, "a handler panicked");
    Problem::new(
        Kind::Internal,
        "something went wrong inside Windlass; the log of the server says what",
    )
    .into_response()
}
