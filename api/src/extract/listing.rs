//! Lists in pages.

use axum::{
    Json,
    extract::{FromRequestParts, OriginalUri},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header, request::Parts};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use uuid::Uuid;
use windlass_api_types::Page;
use windlass_store::{Page as Wanted, PageOf};

use crate::{ApiConfig, extract::Parameters, problem::Problem};

const MAX_LIMIT: u32 = 100;

/// Which part of a list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Cursor {
    /// How many items; 50 if it is absent.
    #[param(minimum = 1, maximum = 100, example = 50)]
    limit: Option<u32>,
    /// The `next` of the part before.
    #[param(example = "018f3a5e7b7c7d3f9a1b2c3d4e5f6071")]
    cursor: Option<String>,
}

/// A part of a list that somebody asks for.
pub(crate) struct Listing {
    pub(crate) wanted: Wanted,
    path: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Listing {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Parameters(Cursor { limit, cursor }) = Parameters::from_request_parts(parts, state).await?;
        let limit = limit.unwrap_or(50);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::field("limit", format!("must be from 1 to {MAX_LIMIT}")));
        }
        let after = cursor.as_deref().map(Uuid::try_parse).transpose();
        let after = after.map_err(|_| Problem::field("cursor", "must be the `next` of an answer before"))?;
        let path = match parts.extensions.get::<OriginalUri>() {
            Some(OriginalUri(uri)) => uri.path().to_owned(),
            None => parts.uri.path().to_owned(),
        };
        Ok(Self {
            wanted: Wanted { after, limit },
            path,
        })
    }
}

/// A part of a list as an answer, with the address of the next in the `Link` header (RFC 8288).
pub(crate) fn page<R, T: Serialize>(
    listing: &Listing,
    config: &ApiConfig,
    rows: PageOf<R>,
    view: impl FnMut(R) -> T,
) -> Response {
    let next = rows.next.map(|id| id.simple().to_string());
    let link = next.as_ref().map(|cursor| {
        let address = format!("{}?limit={}&cursor={cursor}", listing.path, listing.wanted.limit);
        format!("<{}>; rel=\"next\"", config.public(&address))
    });
    let items = rows.items.into_iter().map(view).collect();
    let mut response = Json(Page { items, next }).into_response();
    if let Some(link) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}
