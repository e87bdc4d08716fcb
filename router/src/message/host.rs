//! The host that a request names.

use std::borrow::Cow;

/// A host as it is looked up, and its port if one was given.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RequestHost<'a> {
    /// Lower case, without port and trailing dot.
    pub(crate) name: Cow<'a, str>,
    pub(crate) port: Option<u16>,
}

/// Reads a `Host` header or an authority (RFC 9110 section 7.2); `None` if it is malformed.
pub(crate) fn parse(text: &str) -> Option<RequestHost<'_>> {
    let (name, port) = split_port(text)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > 255 || !name.bytes().all(is_host_byte) {
        return None;
    }
    let name = if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    };
    Some(RequestHost { name, port })
}

/// An IPv6 address stands in brackets, so its colons are none of a port.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let after_address = text.find(']').map_or(0, |end| end + 1);
    match text[after_address..].find(':') {
        None => Some((text, None)),
        Some(colon) => {
            let (name, port) = text.split_at(after_address + colon);
            let digits = &port[1..];
            let all_digits = digits.bytes().all(|b| b.is_ascii_digit());
            match digits {
                "" => Some((name, None)),
                _ if all_digits => Some((name, Some(digits.parse().ok()?))),
                _ => None,
            }
        }
    }
}

fn is_host_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'[' | b']' | b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_port_and_trailing_dot_do_not_matter() {
        for (text, name, port) in [
            ("a.example.com", "a.example.com", None),
            ("A.Example.COM:8080", "a.example.com", Some(8080)),
            ("a.example.com.", "a.example.com", None),
            ("a.example.com.:80", "a.example.com", Some(80)),
            ("a:", "a", None),
            ("[::1]:80", "[::1]", Some(80)),
        ] {
            let host = parse(text).unwrap();
            assert_eq!((host.name.as_ref(), host.port), (name, port), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "", ".", ":80", "a b", "a/b", "user@a", "a:x", "a:-1", "a:99999", "a,b", "a\tb", "ä",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
