//! Whether an instance is ready: one attempt. How often and how long to try is the caller's business.
//!
//! The HTTP client is written by hand and reads a status line and nothing else: an instance is hostile input, and no byte of its
//! answer is worth more.

use std::{fmt, io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use windlass_domain::HealthCheck;

/// A status line is never longer than this.
const STATUS_LINE_MAX: usize = 1024;

/// What one attempt found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeResult {
    /// It answers as its health check asks.
    Ready,
    /// It does not, yet.
    NotYet {
        /// Why.
        why: NotReady,
    },
}

impl ProbeResult {
    /// Whether it is ready.
    pub const fn is_ready(&self) -> bool {
        matches!(self, Self::Ready)
    }
}

/// Why an instance is not ready. `Display` gives it as the end of the sentence "the health check …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReady {
    /// Nobody listens on the port.
    ConnectionRefused,
    /// The connection was not accepted in time.
    ConnectTimeout,
    /// The connection was accepted, but no answer came in time.
    AnswerTimeout,
    /// It answered with a status outside of 200 to 399.
    Status(u16),
    /// The connection was closed without an answer.
    Closed,
    /// It answered, but not in HTTP/1.
    NotHttp,
    /// Its address cannot be reached at all: the container is going or gone.
    Unreachable(String),
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionRefused => f.write_str("was refused: nothing accepts connections on the port"),
            Self::ConnectTimeout => f.write_str("could not connect in time"),
            Self::AnswerTimeout => f.write_str("was accepted but got no answer in time"),
            Self::Status(status) => write!(f, "was answered with status {status}"),
            Self::Closed => f.write_str("was closed without an answer"),
            Self::NotHttp => f.write_str("got an answer that is not HTTP/1.1"),
            Self::Unreachable(why) => write!(f, "could not reach the instance: {why}"),
        }
    }
}

/// Checks the instance at `address` once; the request names the address as its host. See [`probe_host`].
pub async fn probe(address: SocketAddr, check: &HealthCheck) -> ProbeResult {
    probe_host(address, check, &address.to_string()).await
}

/// Checks the instance at `address` once. With a path: `GET` with `host` as the `Host` header (some frameworks answer only to
/// their own), ready at a status of [`HealthCheck::status`]; a redirect is not followed. Without: ready when the connection is accepted. Takes
/// [`HealthCheck::timeout_ms`] at most.
pub async fn probe_host(address: SocketAddr, check: &HealthCheck, host: &str) -> ProbeResult {
    let limit = Duration::from_millis(check.timeout_ms.into());
    let started = tokio::time::Instant::now();
    let stream = match timeout(limit, TcpStream::connect(address)).await {
        Err(_) => return not_yet(NotReady::ConnectTimeout),
        Ok(Err(error)) => return not_yet(connect_failure(&error)),
        Ok(Ok(stream)) => stream,
    };
    let Some(path) = check.path.as_deref() else {
        return ProbeResult::Ready;
    };
    let left = limit.saturating_sub(started.elapsed());
    match timeout(left, ask(stream, path, host)).await {
        Err(_) => not_yet(NotReady::AnswerTimeout),
        Ok(Err(why)) => not_yet(why),
        Ok(Ok(status)) if check.status.contains(status) => ProbeResult::Ready,
        Ok(Ok(status)) => not_yet(NotReady::Status(status)),
    }
}

const fn not_yet(why: NotReady) -> ProbeResult {
    ProbeResult::NotYet { why }
}

fn connect_failure(error: &io::Error) -> NotReady {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => NotReady::ConnectionRefused,
        io::ErrorKind::ConnectionReset => NotReady::Closed,
        io::ErrorKind::TimedOut => NotReady::ConnectTimeout,
        _ => NotReady::Unreachable(error.to_string()),
    }
}

async fn ask(mut stream: TcpStream, path: &str, host: &str) -> Result<u16, NotReady> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: windlass-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|_| NotReady::Closed)?;
    let mut answer = Vec::with_capacity(256);
    let mut chunk = [0; 256];
    loop {
        if let Some(status) = status_line(&answer) {
            return status;
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) if answer.is_empty() => return Err(NotReady::Closed),
            Ok(0) | Err(_) => return Err(NotReady::NotHttp),
            Ok(read) => answer.extend_from_slice(&chunk[..read]),
        }
    }
}

/// The status of an answer as far as it has come; none if its first line is not whole yet.
fn status_line(answer: &[u8]) -> Option<Result<u16, NotReady>> {
    let known = answer.len().min(b"HTTP/1.".len());
    if answer[..known] != b"HTTP/1."[..known] {
        return Some(Err(NotReady::NotHttp));
    }
    let Some(end) = answer.iter().position(|&byte| byte == b'\n') else {
        return (answer.len() > STATUS_LINE_MAX).then_some(Err(NotReady::NotHttp));
    };
    let status = std::str::from_utf8(&answer[..end])
        .ok()
        .and_then(|line| line.split_ascii_whitespace().nth(1))
        .and_then(|word| word.parse::<u16>().ok())
        .filter(|status| (100..=999).contains(status));
    Some(status.ok_or(NotReady::NotHttp))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn check(path: Option<&str>, timeout_ms: u32) -> HealthCheck {
        HealthCheck {
            path: path.map(str::to_owned),
            timeout_ms,
            deadline_seconds: 1,
            ..HealthCheck::default()
        }
    }

    /// A server that gives one answer and then closes; none: it accepts and says nothing.
    async fn server(answer: Option<&'static [u8]>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            match answer {
                Some(answer) => stream.write_all(answer).await.unwrap(),
                None => std::future::pending().await,
            }
        });
        address
    }

    async fn why(answer: Option<&'static [u8]>) -> Option<NotReady> {
        let address = server(answer).await;
        match probe(address, &check(Some("/health"), 300)).await {
            ProbeResult::Ready => None,
            ProbeResult::NotYet { why } => Some(why),
        }
    }

    #[tokio::test]
    async fn success_and_redirect_are_ready() {
        assert_eq!(why(Some(b"HTTP/1.1 200 OK\r\n\r\n")).await, None);
        assert_eq!(why(Some(b"HTTP/1.0 204 No Content\r\n\r\n")).await, None);
        assert_eq!(why(Some(b"HTTP/1.1 301 Moved\r\n\r\n")).await, None);
        assert_eq!(why(Some(b"HTTP/1.1 200\n")).await, None);
    }

    #[tokio::test]
    async fn an_error_status_is_not_ready() {
        assert_eq!(
            why(Some(b"HTTP/1.1 404 Not Found\r\n\r\n")).await,
            Some(NotReady::Status(404))
        );
        assert_eq!(why(Some(b"HTTP/1.1 503 No\r\n\r\n")).await, Some(NotReady::Status(503)));
    }

    #[tokio::test]
    async fn the_check_says_which_statuses_are_ready() {
        let address = server(Some(b"HTTP/1.1 401 Unauthorized\r\n\r\n")).await;
        let check = HealthCheck {
            status: "200,401".parse().unwrap(),
            ..check(Some("/health"), 300)
        };
        assert!(probe(address, &check).await.is_ready());
    }

    #[tokio::test]
    async fn answers_that_are_no_http_are_told_apart() {
        assert_eq!(why(Some(b"SSH-2.0-x\r\n")).await, Some(NotReady::NotHttp));
        assert_eq!(why(Some(b"HTTP/1.1 abc\r\n")).await, Some(NotReady::NotHttp));
        assert_eq!(why(Some(b"HTTP/1.1 2")).await, Some(NotReady::NotHttp));
        assert_eq!(why(Some(b"")).await, Some(NotReady::Closed));
        assert_eq!(why(Some(&[b'H'; 10])).await, Some(NotReady::NotHttp));
    }

    #[tokio::test]
    async fn silence_ends_at_the_timeout() {
        assert_eq!(why(None).await, Some(NotReady::AnswerTimeout));
    }

    #[tokio::test]
    async fn without_a_path_an_accepted_connection_is_enough() {
        let address = server(None).await;
        assert!(probe(address, &check(None, 1000)).await.is_ready());
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_refused() {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let result = probe(free, &check(None, 1000)).await;
        assert_eq!(result, not_yet(NotReady::ConnectionRefused));
    }
}
