//! The router's own answers: small, self-contained, in the form that the client asks for.

use http::{HeaderValue, Response, StatusCode, header};

/// Why a request was not passed on, or came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    BadRequest(&'static str),
    MethodNotAllowed,
    NoRoute,
    RequestTimeout,
    TooLarge,
    InstanceFailed,
    NoInstance,
    InstanceTimeout,
    RouterShort,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::InstanceFailed => StatusCode::BAD_GATEWAY,
            Self::NoInstance | Self::RouterShort => StatusCode::SERVICE_UNAVAILABLE,
            Self::InstanceTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::BadRequest(why) => why,
            Self::MethodNotAllowed => "This method is not passed on.",
            Self::NoRoute => "No app answers at this address.",
            Self::RequestTimeout => "The request took too long to arrive.",
            Self::TooLarge => "The request is larger than this server accepts.",
            Self::InstanceFailed => "The app did not answer: it refused or broke off the connection.",
            Self::NoInstance => "The app has no healthy instance at the moment. Try again soon.",
            Self::InstanceTimeout => "The app did not answer in time.",
            Self::RouterShort => "This server is at its limits at the moment. Try again soon.",
        }
    }

    /// What is left of the request may not be read: the connection has to end.
    fn ends_connection(self) -> bool {
        matches!(self, Self::BadRequest(_) | Self::RequestTimeout | Self::TooLarge)
    }
}

/// The answer to a refused request; `accept` is the request's header of that name.
pub(crate) fn response(refusal: Refusal, accept: Option<&HeaderValue>, request_id: &HeaderValue) -> Response<String> {
    let (content_type, body) = body(refusal, accept, request_id.to_str().unwrap_or_default());
    let mut response = Response::new(body);
    *response.status_mut() = refusal.status();
    let head = response.headers_mut();
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if refusal.status() == StatusCode::SERVICE_UNAVAILABLE {
        head.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if refusal == Refusal::MethodNotAllowed {
        head.insert(
            header::ALLOW,
            HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        );
    }
    if refusal.ends_connection() {
        head.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn body(refusal: Refusal, accept: Option<&HeaderValue>, id: &str) -> (&'static str, String) {
    let status = refusal.status();
    let (code, title, why) = (
        status.as_u16(),
        status.canonical_reason().unwrap_or("Error"),
        refusal.explanation(),
    );
    if accepts(accept, "application/json") {
        let problem = serde_json::json!({"status": code, "title": title, "detail": why, "request_id": id});
        ("application/problem+json", problem.to_string())
    } else if accepts(accept, "text/html") {
        ("text/html; charset=utf-8", html(code, title, why, id))
    } else {
        (
            "text/plain; charset=utf-8",
            format!("{code} {title}\n{why}\nRequest {id}\n"),
        )
    }
}

fn accepts(accept: Option<&HeaderValue>, media_type: &str) -> bool {
    accept
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains(media_type))
}

/// The texts are ours and the id was checked or made by us: nothing in the page comes from outside.
fn html(code: u16, title: &str, why: &str, id: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{code} {title}</title>\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:34em;margin:15vh auto;padding:0 1em;color:#222}}\
         h1{{font-size:1.5em}}small{{color:#777}}\
         @media(prefers-color-scheme:dark){{body{{background:#111;color:#ddd}}}}</style>\
         <h1>{code} {title}</h1><p>{why}</p><p><small>Request {id}</small></p></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(accept: Option<&'static str>) -> Response<String> {
        let accept = accept.map(HeaderValue::from_static);
        response(Refusal::NoInstance, accept.as_ref(), &HeaderValue::from_static("id-1"))
    }

    #[test]
    fn the_form_follows_what_the_client_accepts() {
        for (accept, content_type) in [
            (None, "text/plain"),
            (Some("*/*"), "text/plain"),
            (Some("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), "text/html"),
            (Some("application/json"), "application/problem+json"),
        ] {
            let page = page(accept);
            assert!(
                page.headers()[header::CONTENT_TYPE]
                    .to_str()
                    .unwrap()
                    .starts_with(content_type),
                "{accept:?}"
            );
            assert!(page.body().contains("503") && page.body().contains("id-1"));
        }
    }
}
