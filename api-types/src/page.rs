//! Lists.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A part of a list. The address of the next part also stands in the `Link` header as `rel="next"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items of this part.
    pub items: Vec<T>,
    /// What to give as `cursor` for the next part; null: this was the last.
    #[schema(example = "018f3a5e7b7c7d3f9a1b2c3d4e5f6071")]
    pub next: Option<String>,
}

/// A whole list that is never long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Items<T> {
    /// The items.
    pub items: Vec<T>,
}
