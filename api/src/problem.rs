//! Problems (RFC 9457): the one way in which a request is refused or fails.
//!
//! A handler returns a [`Problem`]; [`crate::edge`] writes it down, because only there is the request's id known. What the edge
//! finds there that is no problem yet, such as an answer of a library, becomes one by its status.

use std::{error::Error, sync::Arc};

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use windlass_api_types::{FieldProblem, Problem as Document};
use windlass_source::SourceError;
use windlass_store::StoreError;

/// The kinds of problems. Their codes are stable: programs and the documentation refer to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Malformed,
    Unauthorized,
    BadSignature,
    NotFound,
    MethodNotAllowed,
    Timeout,
    NameTaken,
    AppDeleting,
    DeploymentOver,
    NothingLive,
    NothingBefore,
    ImageGone,
    AlreadyLive,
    TooLarge,
    UnsupportedMediaType,
    InvalidRequest,
    Internal,
    Unavailable,
}

impl Kind {
    /// Status, code and title.
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed", "The request cannot be read"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "A valid token is needed"),
            Self::BadSignature => (StatusCode::UNAUTHORIZED, "bad_signature", "The signature does not fit"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "There is no such thing"),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "The address does not allow this method",
            ),
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout", "The request took too long"),
            Self::NameTaken => (StatusCode::CONFLICT, "name_taken", "The name is taken"),
            Self::AppDeleting => (StatusCode::CONFLICT, "app_deleting", "The app is being deleted"),
            Self::DeploymentOver => (StatusCode::CONFLICT, "deployment_over", "The deployment is over"),
            Self::NothingLive => (StatusCode::CONFLICT, "nothing_live", "No release is live"),
            Self::NothingBefore => (StatusCode::CONFLICT, "nothing_before", "There is no earlier release"),
            Self::ImageGone => (StatusCode::CONFLICT, "image_gone", "The release's image was removed"),
            Self::AlreadyLive => (StatusCode::CONFLICT, "already_live", "The release is live already"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The request is too large"),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "The body has another type than expected",
            ),
            Self::InvalidRequest => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_request",
                "The request is not valid",
            ),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Windlass failed"),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Windlass cannot answer at the moment",
            ),
        }
    }

    fn for_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Self::Timeout,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::UNPROCESSABLE_ENTITY => Self::InvalidRequest,
            StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            status if status.is_server_error() => Self::Internal,
            _ => Self::Malformed,
        }
    }
}

/// Why a request was not done.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Report>);

#[derive(Debug, Clone)]
struct Report {
    kind: Kind,
    detail: String,
    errors: Vec<FieldProblem>,
    next_step: Option<String>,
    header: Option<(HeaderName, HeaderValue)>,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self(Box::new(Report {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            next_step: None,
            header: None,
            cause: None,
        }))
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    /// Fields that are wrong, all at once.
    pub(crate) fn invalid(errors: Vec<FieldProblem>) -> Self {
        let detail = match errors.as_slice() {
            [only] => only.detail.clone(),
            several => format!("{} fields are not valid", several.len()),
        };
        let mut problem = Self::new(Kind::InvalidRequest, detail);
        problem.0.errors = errors;
        problem
    }

    /// One field that is wrong.
    pub(crate) fn field(pointer: impl Into<String>, detail: impl ToString) -> Self {
        Self::invalid(vec![field(pointer, detail)])
    }

    pub(crate) fn app_deleting() -> Self {
        Self::new(Kind::AppDeleting, "the app is being deleted").next("wait until it is gone, and create it anew")
    }

    /// A fault of our own; the cause goes to the log, not to the client.
    pub(crate) fn internal(cause: impl Error + Send + Sync + 'static) -> Self {
        Self::caused(
            Kind::Internal,
            "something went wrong inside Windlass; the log of the server says what",
            cause,
        )
        .next("try again; if it stays, look for the request's id in the log of the server")
    }

    /// No credential, or one that is not ours; `scheme` tells the client how to give one.
    pub(crate) fn unauthorized(detail: &str, scheme: &'static str) -> Self {
        Self::new(Kind::Unauthorized, detail)
            .next("log in with `windlass login`, or give an API token")
            .header(header::WWW_AUTHENTICATE, scheme)
    }

    pub(crate) fn next(mut self, step: impl Into<String>) -> Self {
        self.0.next_step = Some(step.into());
        self
    }

    fn caused(kind: Kind, detail: &str, cause: impl Error + Send + Sync + 'static) -> Self {
        let mut problem = Self::new(kind, detail);
        problem.0.cause = Some(Arc::new(cause));
        problem
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.0.header = Some((name, HeaderValue::from_static(value)));
        self
    }

    fn document(&self, request: &str) -> Document {
        let (status, code, title) = self.0.kind.parts();
        Document {
            kind: format!("urn:windlass:problem:{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.0.detail.clone(),
            instance: request.to_owned(),
            code: code.to_owned(),
            errors: self.0.errors.clone(),
            next_step: self.0.next_step.clone(),
        }
    }

    /// As git shows it to its user: `remote: …`.
    fn text(&self) -> String {
        let next = self.0.next_step.as_ref().map(|step| format!("Next: {step}\n"));
        format!("{}\n{}", self.0.detail, next.unwrap_or_default())
    }
}

/// One field that is wrong.
pub(crate) fn field(pointer: impl Into<String>, detail: impl ToString) -> FieldProblem {
    FieldProblem {
        pointer: pointer.into(),
        detail: detail.to_string(),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.kind.parts().0.into_response();
        if let Some((name, value)) = self.0.header.clone() {
            response.headers_mut().insert(name, value);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// How a problem is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `application/problem+json`.
    Json,
    /// Plain text, for git.
    Text,
}

/// Writes a problem down. An error without one, which a library made, gets one. Any other answer is left alone.
pub(crate) fn write_down(mut response: Response, request: &str, form: Form) -> Response {
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if is_bare_error(&response) => {
            let status = response.status();
            Problem::new(
                Kind::for_status(status),
                status.canonical_reason().unwrap_or("the request failed"),
            )
        }
        None => return response,
    };
    if let Some(cause) = &problem.0.cause {
        tracing::error!(error = chain(&**cause), "a request failed");
    }
    let (content_type, body) = match form {
        Form::Json => (
            "application/problem+json",
            serde_json::to_string(&problem.document(request)).unwrap_or_default(),
        ),
        Form::Text => ("text/plain; charset=utf-8", problem.text()),
    };
    let mut written = (response.status(), body).into_response();
    for (name, value) in response.headers() {
        if !matches!(*name, header::CONTENT_TYPE | header::CONTENT_LENGTH) {
            written.headers_mut().append(name.clone(), value.clone());
        }
    }
    written
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    written
}

/// An error with all that led to it.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn is_bare_error(response: &Response) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let status = response.status();
    (status.is_client_error() || status.is_server_error())
        && content_type.is_none_or(|content_type| content_type.starts_with(b"text/plain"))
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::caused(Kind::Unavailable, "the database does not answer", error)
                .next("try again in a moment; what is live goes on serving")
                .header(header::RETRY_AFTER, "2"),
            StoreError::Sealed(_) | StoreError::Internal(_) => Self::internal(error),
        }
    }
}

impl From<SourceError> for Problem {
    fn from(error: SourceError) -> Self {
        Self::internal(error)
    }
}
