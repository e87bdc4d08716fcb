//! The id by which a request can be followed from the edge to the app's log.

use std::cell::RefCell;

use http::{HeaderMap, HeaderName, HeaderValue};
use rand::{Rng, SeedableRng, rngs::SmallRng};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX: usize = 128;

/// The request's id: the client's own if it is harmless, else a new UUID version 4, which is set.
pub(crate) fn ensure(headers: &mut HeaderMap) -> HeaderValue {
    let mut given = headers.get_all(&X_REQUEST_ID).iter();
    if let (Some(id), None) = (given.next(), given.next())
        && is_harmless(id.as_bytes())
    {
        return id.clone();
    }
    let id = generate();
    headers.insert(X_REQUEST_ID, id.clone());
    id
}

fn is_harmless(id: &[u8]) -> bool {
    let allowed =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=' | b'@');
    !id.is_empty() && id.len() <= MAX && id.iter().all(allowed)
}

thread_local! {
    /// A cheap generator: an id has to be unlike others, but it is no secret.
    static RANDOM: RefCell<SmallRng> = RefCell::new(SmallRng::from_rng(&mut rand::rng()));
}

fn generate() -> HeaderValue {
    let bytes = RANDOM.with_borrow_mut(|random| random.random());
    let uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
    let mut text = [0_u8; uuid::fmt::Hyphenated::LENGTH];
    let text = uuid.hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ensured(ids: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for id in ids {
            headers.append(X_REQUEST_ID, HeaderValue::from_static(id));
        }
        let id = ensure(&mut headers);
        assert_eq!(headers.get_all(X_REQUEST_ID).iter().collect::<Vec<_>>(), [&id]);
        id.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_harmless_id_is_kept_and_others_are_replaced() {
        assert_eq!(ensured(&["Root=1-67891233-abcdef"]), "Root=1-67891233-abcdef");
        for ids in [&[][..], &[""], &["a b"], &["<script>"], &["a", "b"]] {
            assert_eq!(ensured(ids).len(), 36, "{ids:?}");
        }
    }
}
