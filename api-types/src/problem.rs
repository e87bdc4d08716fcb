//! Problems: every answer that is no success (RFC 9457).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request was not done, as `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Identifies the kind of problem; `code` is its last part.
    #[serde(rename = "type")]
    #[schema(example = "urn:windlass:problem:invalid_request")]
    pub kind: String,
    /// The kind in a few words; the same for all problems of the kind.
    #[schema(example = "The request is not valid")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 422)]
    pub status: u16,
    /// What is wrong with this very request.
    #[schema(example = "app name `My_App` contains `M`")]
    pub detail: String,
    /// The request's id, as in the header `X-Request-Id` and in the server's log.
    #[schema(example = "018f3a5e7b7c7d3f9a1b2c3d4e5f6071")]
    #[serde(default)]
    pub instance: String,
    /// The kind in one word, for programs. Stable.
    #[schema(example = "invalid_request")]
    pub code: String,
    /// The fields that are wrong, all at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "use another name")]
    pub next_step: Option<String>,
}

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// Where it stands in the request's body (RFC 6901), or its name in the query or the path.
    #[schema(example = "/name")]
    pub pointer: String,
    /// What is wrong and what is allowed.
    #[schema(example = "app name `My_App` contains `M`; use 1 to 50 lower-case letters, digits and hyphens")]
    pub detail: String,
}
