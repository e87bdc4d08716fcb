//! Looks over the raw bytes of a request head for what the HTTP parser hides.
//!
//! hyper follows RFC 9112 section 6.3: of a request with both `Transfer-Encoding` and `Content-Length` it drops the length,
//! reads the body as chunked and closes afterwards. That is safe, but such a request is an attack or a bug, and the router
//! refuses it. As hyper does not tell, the bytes are watched on their way in. The same pass bounds the size of a head and
//! notices lines that end in a bare line feed. Heads that arrive pipelined behind an earlier request, or in pieces behind a
//! body that nobody reads, are not seen here as a whole; for them hyper's own rule holds.

/// Longest beginning of a line that matters: `transfer-encoding:`.
const NAME_MAX: usize = 18;

/// What a head was found to carry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct HeadFindings {
    pub(crate) content_length: bool,
    pub(crate) bare_line_feed: bool,
}

/// Where the scan of a head stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// The head goes on.
    Partial,
    /// The head has ended.
    Complete,
    /// The head is longer than allowed.
    TooLarge,
}

/// The state of a scan between two reads.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    findings: HeadFindings,
    line: [u8; NAME_MAX],
    line_len: usize,
    last: u8,
    seen: usize,
    started: bool,
    complete: bool,
}

impl HeadScan {
    /// Takes the next bytes of the connection.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], max: usize) -> Scanned {
        if self.complete {
            return Scanned::Complete;
        }
        while let Some(at) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(at);
            bytes = &rest[1..];
            self.seen += line.len() + 1;
            if self.end_line(line) {
                self.complete = true;
                return if self.seen > max {
                    Scanned::TooLarge
                } else {
                    Scanned::Complete
                };
            }
        }
        self.keep(bytes);
        self.seen += bytes.len();
        if self.seen > max {
            Scanned::TooLarge
        } else {
            Scanned::Partial
        }
    }

    /// What was found since the start.
    pub(crate) fn findings(&self) -> HeadFindings {
        self.findings
    }

    /// Whether a head has begun and not ended.
    pub(crate) fn in_head(&self) -> bool {
        self.seen > 0 && !self.complete
    }

    /// Ends a line; true if it was the empty line after the head.
    fn end_line(&mut self, line: &[u8]) -> bool {
        let whole = self.line_len == 0;
        self.keep(line);
        let with_return = self.last == b'\r';
        let start = if whole { line } else { &self.line[..self.line_len] };
        let empty = start.is_empty() || start == b"\r";
        self.findings.content_length |= begins_with(start, b"content-length:");
        if !empty || self.started {
            self.findings.bare_line_feed |= !with_return;
        }
        let ends_head = empty && self.started;
        self.started |= !empty;
        self.line_len = 0;
        self.last = 0;
        ends_head
    }

    fn keep(&mut self, bytes: &[u8]) {
        let Some(&last) = bytes.last() else { return };
        self.last = last;
        let n = bytes.len().min(NAME_MAX - self.line_len);
        self.line[self.line_len..self.line_len + n].copy_from_slice(&bytes[..n]);
        self.line_len += n;
    }
}

fn begins_with(line: &[u8], name: &[u8]) -> bool {
    line.len() >= name.len() && line[..name.len()].eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the text in pieces of every size: the outcome must not depend on how it arrives.
    fn scan(text: &str) -> (Scanned, HeadFindings) {
        let outcomes: Vec<_> = (1..=text.len())
            .map(|size| {
                let mut scan = HeadScan::default();
                let mut state = Scanned::Partial;
                for piece in text.as_bytes().chunks(size) {
                    state = scan.feed(piece, 1000);
                }
                (state, scan.findings())
            })
            .collect();
        assert!(outcomes.iter().all(|o| *o == outcomes[0]), "{outcomes:?}");
        outcomes[0]
    }

    #[test]
    fn a_plain_head_has_no_findings() {
        assert_eq!(
            scan("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (Scanned::Complete, HeadFindings::default())
        );
    }

    #[test]
    fn a_length_is_seen_in_any_case_and_at_any_place() {
        assert!(
            scan("GET / HTTP/1.1\r\nHost: a\r\ncOnTent-LENGTH: 3\r\n\r\nabc")
                .1
                .content_length
        );
        assert!(!scan("GET / HTTP/1.1\r\nX: content-length: 3\r\n\r\n").1.content_length);
        assert!(
            !scan("GET / HTTP/1.1\r\nX: y\r\n\r\nContent-Length: 3\r\n")
                .1
                .content_length
        );
    }

    #[test]
    fn a_bare_line_feed_is_seen() {
        assert!(scan("GET / HTTP/1.1\nHost: a\n\n").1.bare_line_feed);
        assert!(scan("GET / HTTP/1.1\r\nHost: a\r\n\n").1.bare_line_feed);
    }

    #[test]
    fn a_head_beyond_the_limit_is_too_large() {
        assert_eq!(
            scan(&format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(1000))).0,
            Scanned::TooLarge
        );
    }
}
