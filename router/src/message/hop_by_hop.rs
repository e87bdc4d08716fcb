//! Headers that end at the proxy (RFC 9110 section 7.6.1), and those that a client may not set.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, TE},
};

/// Removes from a request what is not for the instance: hop-by-hop headers, those that `Connection` names, and everything
/// that only a proxy may say about the client. `TE: trailers` is the one thing that is said anew.
pub(crate) fn clean_request(headers: &mut HeaderMap) {
    let trailers = headers.get_all(TE).iter().any(|value| has_token(value, "trailers"));
    remove_named_by_connection(headers);
    remove_all(headers, |name| {
        is_hop_by_hop(name) || name == "expect" || is_forged(name)
    });
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Removes from a response what is not for the client.
pub(crate) fn clean_response(headers: &mut HeaderMap) {
    remove_named_by_connection(headers);
    remove_all(headers, is_hop_by_hop);
}

/// Whether a comma-separated list has a token, in any case.
pub(crate) fn has_token(value: &HeaderValue, token: &str) -> bool {
    let mut names = value.as_bytes().split(|b| *b == b',').map(|part| {
        let end = memchr::memchr(b';', part).unwrap_or(part.len());
        part[..end].trim_ascii()
    });
    names.any(|name| name.eq_ignore_ascii_case(token.as_bytes()))
}

fn remove_all(headers: &mut HeaderMap, doomed: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| doomed(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// A sender may name any header as its own hop's. Those that frame the message or name its target stay.
fn remove_named_by_connection(headers: &mut HeaderMap) {
    let mut named: Vec<HeaderName> = Vec::new();
    for value in headers.get_all(CONNECTION) {
        if value == "keep-alive" || value == "close" || value == "upgrade" || value == "Upgrade" {
            continue;
        }
        let tokens = value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii);
        named.extend(tokens.filter_map(|token| HeaderName::from_bytes(token).ok()));
    }
    for name in named {
        if !matches!(
            name.as_str(),
            "host" | "content-length" | "content-type" | "cookie" | "authorization"
        ) {
            headers.remove(name);
        }
    }
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

/// What a client may not say about itself, also in the spelling that CGI-like servers cannot tell from it: they turn
/// `X_Forwarded_For` and `X-Forwarded-For` into the same variable.
fn is_forged(name: &str) -> bool {
    if !name.starts_with(['x', 'f']) {
        return false;
    }
    let same = |other: &str| {
        name.len() == other.len()
            && name
                .bytes()
                .zip(other.bytes())
                .all(|(a, b)| a == b || (a == b'_' && b == b'-'))
    };
    let begins = |prefix: &str| {
        name.len() > prefix.len() && name.is_char_boundary(prefix.len()) && {
            let start = name[..prefix.len()].bytes();
            start
                .zip(prefix.bytes())
                .all(|(a, b)| a == b || (a == b'_' && b == b'-'))
        }
    };
    same("forwarded")
        || begins("x-forwarded-")
        || same("x-real-ip")
        || name == "x_request_id"
        || name == "x-request_id"
        || name == "x_request-id"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(clean: fn(&mut HeaderMap), pairs: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        clean(&mut headers);
        let mut left: Vec<String> = headers.keys().map(ToString::to_string).collect();
        left.sort();
        left
    }

    #[test]
    fn hop_by_hop_headers_end_here() {
        let pairs = [
            ("connection", "close, X-Mine , te"),
            ("connection", "keep-alive"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "x"),
            ("proxy-connection", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("accept", "*/*"),
        ];
        assert_eq!(cleaned(clean_request, &pairs), ["accept"]);
        assert_eq!(cleaned(clean_response, &pairs), ["accept"]);
    }

    #[test]
    fn connection_cannot_take_away_what_frames_the_message() {
        let pairs = [
            ("connection", "host, content-length, cookie"),
            ("host", "a"),
            ("content-length", "3"),
            ("cookie", "a=b"),
        ];
        assert_eq!(cleaned(clean_request, &pairs), ["content-length", "cookie", "host"]);
    }

    #[test]
    fn what_only_a_proxy_may_say_is_removed_in_every_spelling() {
        let pairs = [
            ("forwarded", "for=1.1.1.1"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x_forwarded_for", "1.1.1.1"),
            ("x-forwarded_host", "evil"),
            ("x-forwarded-prefix", "/"),
            ("x-real-ip", "1.1.1.1"),
            ("x_real_ip", "1.1.1.1"),
            ("x_request_id", "1"),
            ("x-forward", "mine"),
            ("from", "me"),
        ];
        assert_eq!(cleaned(clean_request, &pairs), ["from", "x-forward"]);
    }

    #[test]
    fn of_te_only_trailers_is_passed_on() {
        let mut headers = HeaderMap::new();
        headers.insert(TE, HeaderValue::from_static("gzip, trailers;q=0.5"));
        clean_request(&mut headers);
        assert_eq!(headers[TE], "trailers");
    }
}
