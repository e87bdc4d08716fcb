//! Checks a request's head and finds what it is for.
//!
//! hyper itself refuses: a malformed request line or header, several `Content-Length`s that differ or are no number,
//! `Transfer-Encoding` in HTTP/1.0 or without `chunked` at its end, and malformed chunks. What it lets through and this
//! refuses: a missing or second `Host`, a target that contradicts `Host`, codings before `chunked`, `Transfer-Encoding`
//! together with `Content-Length`, bare line feeds, `CONNECT` and `TRACE`.

use std::borrow::Cow;

use http::{
    HeaderMap, HeaderValue, Method, Uri, Version,
    header::{CONNECTION, COOKIE, HOST, TRANSFER_ENCODING, UPGRADE},
    request::Parts,
    uri::PathAndQuery,
};

use super::{hop_by_hop::has_token, host};
use crate::error_page::Refusal;

/// What a request is for.
pub(crate) struct Target<'a> {
    /// As it is looked up: lower case, without port.
    pub(crate) host: Cow<'a, str>,
    pub(crate) port: Option<u16>,
    /// As the client named it.
    pub(crate) authority: HeaderValue,
}

/// Checks the head; `content_length_seen` and `bare_line_feed` are what the scan of the raw bytes found.
pub(crate) fn check(parts: &Parts, content_length_seen: bool, bare_line_feed: bool) -> Result<Target<'_>, Refusal> {
    if parts.version < Version::HTTP_2 {
        check_framing(&parts.headers, content_length_seen)?;
        if bare_line_feed {
            return Err(Refusal::BadRequest("a line of the request ends in a bare line feed"));
        }
    }
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Refusal::MethodNotAllowed);
    }
    target(parts)
}

fn check_framing(headers: &HeaderMap, content_length_seen: bool) -> Result<(), Refusal> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if content_length_seen {
        return Err(Refusal::BadRequest(
            "the request has both Transfer-Encoding and Content-Length",
        ));
    }
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err(Refusal::BadRequest(
            "the only Transfer-Encoding that is understood is chunked",
        ));
    }
    Ok(())
}

fn target(parts: &Parts) -> Result<Target<'_>, Refusal> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let header = hosts.next();
    if hosts.next().is_some() {
        return Err(Refusal::BadRequest("the request has more than one Host"));
    }
    let named = header.map(HeaderValue::to_str).transpose().map_err(|_| MALFORMED)?;
    let text = match (parts.uri.authority(), named) {
        (Some(authority), Some(host)) if !authority.as_str().eq_ignore_ascii_case(host) => {
            return Err(Refusal::BadRequest(
                "the request's target and its Host name different hosts",
            ));
        }
        (Some(authority), _) if parts.version == Version::HTTP_2 || header.is_some() => authority.as_str(),
        (None, Some(host)) => host,
        _ => return Err(Refusal::BadRequest("the request names no Host")),
    };
    let host = host::parse(text).ok_or(MALFORMED)?;
    let authority = match header {
        Some(header) => header.clone(),
        None => HeaderValue::from_str(text).map_err(|_| MALFORMED)?,
    };
    Ok(Target {
        host: host.name,
        port: host.port,
        authority,
    })
}

const MALFORMED: Refusal = Refusal::BadRequest("the request's Host is malformed");

/// The protocol that an HTTP/1.1 request asks to switch to. `h2c` is not one: passed on, it would let a client speak with
/// the instance past every rule of the router.
pub(crate) fn wanted_upgrade(parts: &Parts) -> Option<HeaderValue> {
    let mut upgrades = parts.headers.get_all(UPGRADE).iter();
    let (Some(upgrade), None) = (upgrades.next(), upgrades.next()) else {
        return None;
    };
    let connection_says_so = parts
        .headers
        .get_all(CONNECTION)
        .iter()
        .any(|value| has_token(value, "upgrade"));
    let allowed = parts.version == Version::HTTP_11 && connection_says_so && !has_token(upgrade, "h2c");
    allowed.then(|| upgrade.clone())
}

/// HTTP/2 may split cookies into several fields; HTTP/1.1 may not (RFC 9113 section 8.2.3).
pub(crate) fn merge_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, cookie);
    }
}

/// The target for the instance, in origin form, without `prefix` at its front.
pub(crate) fn stripped_path(uri: &Uri, prefix: &str) -> Option<Uri> {
    let full = uri.path_and_query()?.as_str();
    let rest = full.strip_prefix(prefix)?;
    let path = if rest.starts_with('/') {
        rest.to_owned()
    } else {
        format!("/{rest}")
    };
    Some(Uri::from(PathAndQuery::try_from(path).ok()?))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Parts {
        build(Request::builder()).body(()).unwrap().into_parts().0
    }

    fn refused(parts: &Parts, length: bool, line_feed: bool) -> bool {
        check(parts, length, line_feed).is_err()
    }

    #[test]
    fn a_plain_request_passes_and_its_host_is_found() {
        let parts = parts(|r| r.uri("/x").header("host", "Shop.Example:8080"));
        let target = check(&parts, true, false).ok().unwrap();
        assert_eq!((target.host.as_ref(), target.port), ("shop.example", Some(8080)));
    }

    #[test]
    fn unclear_framing_is_refused() {
        let chunked = parts(|r| r.header("host", "a").header("transfer-encoding", "Chunked"));
        assert!(!refused(&chunked, false, false));
        assert!(refused(&chunked, true, false), "both lengths");
        assert!(refused(&chunked, false, true), "bare line feed");
        for coding in ["gzip, chunked", "xchunked", "chunked, chunked", "\tchunked"] {
            assert!(
                refused(
                    &parts(|r| r.header("host", "a").header("transfer-encoding", coding)),
                    false,
                    false
                ),
                "{coding}"
            );
        }
    }

    #[test]
    fn a_missing_second_or_contradicting_host_is_refused() {
        assert!(refused(&parts(|r| r.uri("/")), false, false));
        assert!(refused(
            &parts(|r| r.uri("/").header("host", "a").header("host", "a")),
            false,
            false
        ));
        assert!(refused(
            &parts(|r| r.uri("http://b/").header("host", "a")),
            false,
            false
        ));
        assert!(!refused(
            &parts(|r| r.uri("http://a/").header("host", "A")),
            false,
            false
        ));
        assert!(!refused(
            &parts(|r| r.version(Version::HTTP_2).uri("http://a/")),
            false,
            false
        ));
        assert!(refused(
            &parts(|r| r.version(Version::HTTP_2).uri("http://a/").header("host", "b")),
            false,
            false
        ));
    }

    #[test]
    fn only_real_upgrades_are_passed_on() {
        let upgrade =
            |connection, to| wanted_upgrade(&parts(|r| r.header("connection", connection).header("upgrade", to)));
        assert_eq!(upgrade("keep-alive, Upgrade", "websocket").unwrap(), "websocket");
        assert!(upgrade("keep-alive", "websocket").is_none());
        assert!(upgrade("Upgrade, HTTP2-Settings", "h2c").is_none());
    }

    #[test]
    fn a_stripped_path_still_begins_with_a_slash() {
        for (uri, prefix, expected) in [
            ("/api/x?q=1", "/api", "/x?q=1"),
            ("/api", "/api", "/"),
            ("/api?q", "/api", "/?q"),
            ("/x", "", "/x"),
            ("http://a/api/", "/api", "/"),
        ] {
            assert_eq!(stripped_path(&uri.parse().unwrap(), prefix).unwrap(), expected);
        }
    }

    #[test]
    fn cookie_crumbs_become_one_cookie() {
        let mut headers = parts(|r| r.header("cookie", "a=1").header("cookie", "b=2")).headers;
        merge_cookies(&mut headers);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }
}
