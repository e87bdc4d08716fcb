//! What the router says about the client: `X-Forwarded-*`, `X-Real-IP` and `Forwarded` (RFC 7239).

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const HTTP: HeaderValue = HeaderValue::from_static("http");

/// A client's address as headers say it, written once per connection.
#[derive(Debug, Clone)]
pub(crate) struct ClientNames {
    ip: HeaderValue,
    /// As a `for` parameter: an IPv6 address is bracketed and quoted.
    node: String,
}

impl ClientNames {
    pub(crate) fn new(ip: IpAddr) -> Self {
        let node = match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("\"[{ip}]\""),
        };
        let ip = HeaderValue::try_from(ip.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Self { ip, node }
    }
}

/// Sets them. What the client said itself must have been removed before. `host` was checked: it holds no quote.
pub(crate) fn set_forwarded(headers: &mut HeaderMap, client: &ClientNames, host: &HeaderValue, port: Option<u16>) {
    headers.insert(X_FORWARDED_FOR, client.ip.clone());
    headers.insert(X_REAL_IP, client.ip.clone());
    headers.insert(X_FORWARDED_PROTO, HTTP);
    headers.insert(X_FORWARDED_HOST, host.clone());
    headers.insert(
        X_FORWARDED_PORT,
        port.map_or(HeaderValue::from_static("80"), HeaderValue::from),
    );
    let forwarded = [
        b"for=",
        client.node.as_bytes(),
        b";host=\"",
        host.as_bytes(),
        b"\";proto=http",
    ]
    .concat();
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(forwarded)) {
        headers.insert(http::header::FORWARDED, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_of_the_client_are_set() {
        let mut headers = HeaderMap::new();
        let client = ClientNames::new("2001:db8::1".parse().unwrap());
        set_forwarded(
            &mut headers,
            &client,
            &HeaderValue::from_static("a.example:8080"),
            Some(8080),
        );
        assert_eq!(headers["x-forwarded-for"], "2001:db8::1");
        assert_eq!(headers["x-real-ip"], "2001:db8::1");
        assert_eq!(headers["x-forwarded-host"], "a.example:8080");
        assert_eq!(headers["x-forwarded-port"], "8080");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(
            headers["forwarded"],
            "for=\"[2001:db8::1]\";host=\"a.example:8080\";proto=http"
        );
    }
}
