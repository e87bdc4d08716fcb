//! What is done to every request and every answer: an id, a span, security headers, problems written down.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tracing::{Instrument, field::Empty};
use uuid::Uuid;

use crate::problem::{self, Form};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The page at `/docs` brings all it needs; it styles itself inline and shows small pictures as data.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Wraps everything else. No header, query or body is ever logged: they hold secrets.
pub(crate) async fn edge(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let path = request.uri().path();
    let docs = path.starts_with("/docs");
    let form = problem_form(path, request.headers());
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let span = tracing::info_span!(
        "request",
        id,
        method = %request.method(),
        route = route.unwrap_or("none"),
        status = Empty,
        millis = Empty,
    );
    let quiet = matches!(route, Some("/livez" | "/readyz" | "/health"));
    async {
        let mut response = problem::write_down(next.run(request).await, &id, form);
        secure(response.headers_mut(), docs);
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        let span = tracing::Span::current();
        span.record("status", response.status().as_u16());
        span.record(
            "millis",
            u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        );
        if quiet {
            tracing::debug!("answered");
        } else {
            tracing::info!("answered");
        }
        response
    }
    .instrument(span.clone())
    .await
}

/// The client's own id if it is harmless, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let harmless = |id: &&str| {
        (1..=128).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(harmless)
        .map_or_else(|| Uuid::now_v7().simple().to_string(), str::to_owned)
}

/// Git shows plain text to its user, and nothing else.
fn problem_form(path: &str, headers: &HeaderMap) -> Form {
    let agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes);
    if path.starts_with("/git/") && agent.is_some_and(|agent| agent.starts_with(b"git/")) {
        Form::Text
    } else {
        Form::Json
    }
}

fn secure(headers: &mut HeaderMap, docs: bool) {
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_FRAME_OPTIONS, "DENY");
    if docs {
        set(header::CONTENT_SECURITY_POLICY, DOCS_POLICY);
    } else {
        set(header::CONTENT_SECURITY_POLICY, POLICY);
        set(header::CACHE_CONTROL, "no-store");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(given: &'static str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static(given));
        request_id(&headers)
    }

    #[test]
    fn a_harmless_request_id_is_kept_and_any_other_replaced() {
        assert_eq!(id_for("job-7.a_b"), "job-7.a_b");
        for bad in ["", "a b", "a\"b", "<script>"] {
            assert_ne!(id_for(bad), bad);
        }
    }
}
