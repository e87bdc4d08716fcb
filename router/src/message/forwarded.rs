//! What the router says about the client: `X-Forwarded-*`, `X-Real-IP` and `Forwarded` (RFC 7239).

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use http::{HeaderMap, HeaderName, HeaderValue};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const HTTP: HeaderValue = HeaderValue::from_static("http");

/// A client's address as headers say it, written once per connection.
#[derive(Debug)]
pub(crate) struct ClientNames {
    ip: HeaderValue,
    /// As a `for` parameter: an IPv6 address is bracketed and quoted.
    node: String,
    /// What was written for the last request: most connections ask one host.
    last: Mutex<Option<Written>>,
}

/// What is said about a client that named this host.
#[derive(Debug, Clone)]
struct Written {
    host: HeaderValue,
    port: HeaderValue,
    forwarded: Option<HeaderValue>,
}

impl ClientNames {
    pub(crate) fn new(ip: IpAddr) -> Self {
        let node = match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("\"[{ip}]\""),
        };
        let ip = HeaderValue::try_from(ip.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Self {
            ip,
            node,
            last: Mutex::default(),
        }
    }

    /// Of one task at a time, so nobody waits for the lock. The port is part of the host.
    fn written(&self, host: &HeaderValue, port: Option<u16>) -> Written {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(written) if written.host == host => written.clone(),
            _ => last.insert(self.write(host, port)).clone(),
        }
    }

    fn write(&self, host: &HeaderValue, port: Option<u16>) -> Written {
        let forwarded = [
            b"for=",
            self.node.as_bytes(),
            b";host=\"",
            host.as_bytes(),
            b"\";proto=http",
        ]
        .concat();
        Written {
            host: host.clone(),
            port: port.map_or(HeaderValue::from_static("80"), HeaderValue::from),
            forwarded: HeaderValue::from_maybe_shared(bytes::Bytes::from(forwarded)).ok(),
        }
    }
}

/// Sets them. What the client said itself must have been removed before. `host` was checked: it holds no quote.
pub(crate) fn set_forwarded(headers: &mut HeaderMap, client: &ClientNames, host: &HeaderValue, port: Option<u16>) {
    let written = client.written(host, port);
    headers.insert(X_FORWARDED_FOR, client.ip.clone());
    headers.insert(X_REAL_IP, client.ip.clone());
    headers.insert(X_FORWARDED_PROTO, HTTP);
    headers.insert(X_FORWARDED_HOST, host.clone());
    headers.insert(X_FORWARDED_PORT, written.port);
    if let Some(forwarded) = written.forwarded {
        headers.insert(http::header::FORWARDED, forwarded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_host_on_the_same_connection_is_said_as_it_is() {
        let client = ClientNames::new("192.0.2.1".parse().unwrap());
        for (host, port) in [
            ("a:8080", Some(8080)),
            ("b", None),
            ("a:8080", Some(8080)),
            ("A:8080", Some(8080)),
        ] {
            let mut headers = HeaderMap::new();
            set_forwarded(&mut headers, &client, &HeaderValue::from_static(host), port);
            assert_eq!(headers["x-forwarded-port"], port.unwrap_or(80).to_string());
            assert_eq!(
                headers["forwarded"],
                format!("for=192.0.2.1;host=\"{host}\";proto=http")
            );
        }
    }

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
