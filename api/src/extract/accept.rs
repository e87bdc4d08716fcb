//! In which form a log is wanted, and after which line.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::{HeaderMap, header, request::Parts};

/// The form of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accept {
    /// The lines so far as JSON.
    Json,
    /// A live tail as server-sent events.
    Events,
    /// Plain text.
    Text,
    /// The client takes anything: JSON, or text when it wants to follow.
    Any,
}

impl<S: Send + Sync> FromRequestParts<S> for Accept {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(wanted(&parts.headers))
    }
}

/// The first form in the `Accept` header that we have.
fn wanted(headers: &HeaderMap) -> Accept {
    let values = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .find_map(|entry| match entry.split(';').next().unwrap_or_default().trim() {
            "text/event-stream" => Some(Accept::Events),
            "text/plain" | "text/*" => Some(Accept::Text),
            "application/json" | "application/*" => Some(Accept::Json),
            _ => None,
        })
        .unwrap_or(Accept::Any)
}

/// The `id` of the last event that the client saw; none: it has seen nothing, or what it says is no id of ours.
pub(crate) struct LastEventId(pub(crate) Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let value = parts.headers.get("last-event-id").and_then(|value| value.to_str().ok());
        Ok(Self(value.and_then(|id| id.trim().parse().ok()).filter(|id| *id >= 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_form_is_taken() {
        let of = |accept: &str| wanted(&[(header::ACCEPT, accept.parse().unwrap())].into_iter().collect());
        assert_eq!(of("text/event-stream"), Accept::Events);
        assert_eq!(of("image/png, text/plain;q=0.5, */*"), Accept::Text);
        assert_eq!(of("application/json"), Accept::Json);
        assert_eq!(of("*/*"), Accept::Any);
        assert_eq!(wanted(&HeaderMap::new()), Accept::Any);
    }
}
