//! Bodies: JSON that says which field is wrong, and raw bytes. Both are bounded in size (by the route) and in time.

use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, rejection::BytesRejection};
use axum::response::IntoResponse;
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};
use tokio::time::timeout;

use crate::problem::{Kind, Problem, field};

/// How long a client may take to send a body.
const PATIENCE: Duration = Duration::from_secs(30);

/// How large a body may be, so that one which says that it is larger is refused before it is waited for.
#[derive(Clone, Copy)]
pub(crate) struct MaxBody(u64);

/// Bounds the bodies of routes, both as they are announced and as they come.
pub(crate) fn max_body(bytes: usize) -> (DefaultBodyLimit, Extension<MaxBody>) {
    let announced = MaxBody(u64::try_from(bytes).unwrap_or(u64::MAX));
    (DefaultBodyLimit::max(bytes), Extension(announced))
}

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

/// A JSON body that may be left out, which means an empty object.
pub(crate) struct OptionalBody<T>(pub(crate) T);

/// The very bytes that arrived.
pub(crate) struct RawBody(pub(crate) Bytes);

impl<S, T> FromRequest<S> for Body<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        require_json(request.headers())?;
        parse(&read(request, state).await?).map(Self)
    }
}

impl<S, T> FromRequest<S> for OptionalBody<T>
where
    T: DeserializeOwned + Default,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let type_is_right = require_json(request.headers());
        let bytes = read(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        type_is_right?;
        parse(&bytes).map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        read(request, state).await.map(Self)
    }
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    if announces_too_much(&request) {
        return Err(too_large());
    }
    let bytes = timeout(PATIENCE, Bytes::from_request(request, state)).await;
    let bytes = bytes.map_err(|_| Problem::new(Kind::Timeout, "the body did not arrive in time"))?;
    bytes.map_err(refused)
}

/// Axum's own limit counts what arrives: a client that announces too much and sends nothing would be waited for.
fn announces_too_much(request: &Request) -> bool {
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let limit = request.extensions().get::<MaxBody>();
    length.zip(limit).is_some_and(|(length, limit)| length > limit.0)
}

fn too_large() -> Problem {
    Problem::new(Kind::TooLarge, "the body is larger than allowed")
}

fn refused(rejection: BytesRejection) -> Problem {
    if rejection.into_response().status() == StatusCode::PAYLOAD_TOO_LARGE {
        too_large()
    } else {
        Problem::new(Kind::Malformed, "the body broke off")
    }
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(Problem::new(
        Kind::UnsupportedMediaType,
        "the body must be JSON, and the header Content-Type must say `application/json`",
    ))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path());
        unreadable(error.into_inner(), pointer)
    })?;
    reader.end().map_err(|error| unreadable(error, String::new()))?;
    // Serde would also take a list of the fields in their order, which no client means.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::field("", "the body must be a JSON object"));
    }
    Ok(value)
}

fn unreadable(error: serde_json::Error, pointer: String) -> Problem {
    let text = error.to_string();
    match error.classify() {
        Category::Data => {
            let said = text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]);
            Problem::invalid(vec![field(pointer, said)])
        }
        Category::Io | Category::Syntax | Category::Eof => {
            Problem::new(Kind::Malformed, format!("the body is not JSON: {text}"))
        }
    }
}

/// RFC 6901. What serde cannot tell ends the pointer.
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Unknown => break,
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use windlass_api_types::{CreateApp, UpdateApp};

    use super::*;

    fn said<T: DeserializeOwned>(body: &str) -> String {
        match parse::<T>(body.as_bytes()) {
            Ok(_) => "fine".to_owned(),
            Err(problem) => format!("{problem:?}"),
        }
    }

    #[rstest]
    #[case(r#"{"port": "x"}"#, "/port", "expected u16")]
    #[case(r#"{"port": 70000}"#, "/port", "expected u16")]
    #[case(r#"{"build": {"args": {"A/B": 1}}}"#, "/build/args/A~1B", "expected a string")]
    #[case(
        r#"{"build": {"config_args": ["A", 1]}}"#,
        "/build/config_args/1",
        "expected a string"
    )]
    #[case(r#"{"build": {"dockerfle": "x"}}"#, "/build/dockerfle", "`dockerfile`")]
    #[case(r#"{"nmae": "x"}"#, "/nmae", "unknown field `nmae`, expected one of `repo_url`")]
    #[case("[]", "\"\"", "must be a JSON object")]
    fn the_field_that_is_wrong_is_named(#[case] body: &str, #[case] pointer: &str, #[case] detail: &str) {
        let said = said::<UpdateApp>(body);
        let expected = format!(
            "pointer: {}",
            if pointer == "\"\"" {
                pointer.to_owned()
            } else {
                format!("{pointer:?}")
            }
        );
        assert!(said.contains(&expected) && said.contains(detail), "{said}");
        assert!(said.contains("InvalidRequest") && !said.contains(" at line "), "{said}");
    }

    #[rstest]
    #[case("")]
    #[case("{")]
    #[case("{}}")]
    #[case("nonsense")]
    fn what_is_no_json_is_malformed(#[case] body: &str) {
        assert!(said::<UpdateApp>(body).contains("Malformed"), "{body}");
    }

    #[test]
    fn a_missing_field_is_named() {
        assert!(said::<CreateApp>("{}").contains("missing field `name`"));
    }
}
