//! The query of an address.

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::{Problem, field};

/// The parameters in the query.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Parameters<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(unreadable(&rejection.body_text())),
        }
    }
}

/// The rejection reads "Failed to deserialize query string: limit: invalid digit found in string".
fn unreadable(text: &str) -> Problem {
    let said = text.split_once(": ").map_or(text, |(_, said)| said);
    let (name, detail) = said.split_once(": ").unwrap_or(("", said));
    Problem::invalid(vec![field(name, detail)])
}
