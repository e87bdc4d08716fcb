//! Who asks. The token is the only thing that says so; its hash is looked up, the token itself is kept nowhere.

use axum::extract::{FromRef, FromRequestParts};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use windlass_domain::Secret;
use windlass_store::{Actor, Store};

use crate::problem::Problem;

const BEARER: &str = "Bearer realm=\"windlass\"";
const BASIC: &str = "Basic realm=\"windlass\", charset=\"UTF-8\"";

/// The owner of the bearer token.
pub(crate) struct Caller(pub(crate) Actor);

/// The owner of the token that git sends as password.
pub(crate) struct GitCaller(pub(crate) Actor);

impl<S> FromRequestParts<S> for Caller
where
    Store: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let token = credential(&parts.headers, "bearer").map(Secret::new);
        authenticate(token, &Store::from_ref(state), BEARER).await.map(Self)
    }
}

impl<S> FromRequestParts<S> for GitCaller
where
    Store: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let bearer = || credential(&parts.headers, "bearer");
        let token = credential(&parts.headers, "basic")
            .and_then(|pair| password(&pair))
            .or_else(bearer);
        authenticate(token.map(Secret::new), &Store::from_ref(state), BASIC)
            .await
            .map(Self)
    }
}

async fn authenticate(token: Option<Secret<String>>, store: &Store, scheme: &'static str) -> Result<Actor, Problem> {
    let Some(token) = token else {
        return Err(Problem::unauthorized("the request carries no API token", scheme));
    };
    let actor = store.authenticate(&token).await?;
    actor.ok_or_else(|| Problem::unauthorized("the API token is not known, or was revoked", scheme))
}

/// What stands behind the scheme in the one `Authorization` header.
fn credential(headers: &HeaderMap, scheme: &str) -> Option<String> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, more) = (values.next()?.to_str().ok()?, values.next());
    let (found, credential) = value.split_once(' ')?;
    let credential = credential.trim();
    let fits = more.is_none() && found.eq_ignore_ascii_case(scheme) && (1..=1024).contains(&credential.len());
    fits.then(|| credential.to_owned())
}

/// The password of Basic credentials (RFC 7617), or their user name if there is no password: `https://TOKEN@host/…` is a habit.
fn password(pair: &str) -> Option<String> {
    let pair = String::from_utf8(BASE64_STANDARD.decode(pair).ok()?).ok()?;
    let (user, password) = pair.split_once(':')?;
    let token = if password.is_empty() { user } else { password };
    (!token.is_empty()).then(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (AUTHORIZATION, value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn one_header_with_one_scheme_is_a_credential() {
        let bearer = |values: &[&str]| credential(&headers(values), "bearer");
        assert_eq!(bearer(&["Bearer wl_x"]).as_deref(), Some("wl_x"));
        assert_eq!(bearer(&["bearer  wl_x "]).as_deref(), Some("wl_x"));
        for wrong in [
            &[][..],
            &["Bearer"],
            &["Bearer "],
            &["Basic wl_x"],
            &["wl_x"],
            &["Bearer a", "Bearer b"],
        ] {
            assert_eq!(bearer(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn git_sends_the_token_as_password_or_as_user() {
        let read = |pair: &str| password(&BASE64_STANDARD.encode(pair));
        assert_eq!(read("git:wl_x").as_deref(), Some("wl_x"));
        assert_eq!(read("wl_x:").as_deref(), Some("wl_x"));
        assert_eq!(read("git:a:b").as_deref(), Some("a:b"));
        assert_eq!(read(":"), None);
        assert_eq!(password("%%%"), None);
    }
}
