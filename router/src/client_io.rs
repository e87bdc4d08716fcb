//! The client's socket as hyper reads and writes it, with an eye on time ([`ConnClock`]) and on heads ([`HeadScan`]).

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{
    clock::{ConnClock, LastWord, Phase},
    head_scan::{HeadScan, Scanned},
};

const TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// The bytes of the only slice that has any: the kernel has less to do for a plain write.
pub(crate) fn only_one<'a>(slices: &'a [io::IoSlice<'_>]) -> Option<&'a [u8]> {
    let mut filled = slices.iter().filter(|slice| !slice.is_empty());
    match (filled.next(), filled.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// A client's socket under watch.
pub(crate) struct ClientIo {
    stream: TcpStream,
    clock: Arc<ConnClock>,
    scan: HeadScan,
    max_header_bytes: usize,
}

impl ClientIo {
    pub(crate) fn new(stream: TcpStream, clock: Arc<ConnClock>, max_header_bytes: usize) -> Self {
        Self {
            stream,
            clock,
            scan: HeadScan::default(),
            max_header_bytes,
        }
    }

    /// Tells the client why the connection ends. One attempt: whoever does not read loses the message.
    fn say(&self, words: &[u8]) {
        let _ = self.stream.try_write(words);
    }

    fn watch(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut may_be_body = false;
        match self.clock.phase() {
            Phase::Busy => return Ok(()),
            Phase::Idle => {
                self.scan = HeadScan::default();
                may_be_body = self.clock.take_body_left();
                if !may_be_body {
                    self.clock.head_began();
                }
            }
            Phase::Head => {}
        }
        if self.clock.is_http2() {
            return Ok(());
        }
        match self.scan.feed(bytes, self.max_header_bytes) {
            Scanned::Partial => {}
            Scanned::TooLarge if may_be_body => {}
            Scanned::Complete => {
                let found = self.scan.findings();
                self.clock.head_found(found.content_length, found.bare_line_feed);
            }
            Scanned::TooLarge => {
                self.say(TOO_LARGE);
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the head of a request is too large",
                ));
            }
        }
        Ok(())
    }

    fn noted<T>(&self, outcome: Poll<T>) -> Poll<T> {
        self.clock.write_blocked(outcome.is_pending());
        outcome
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.clock.last_word() == LastWord::Timeout {
            if self.scan.in_head() {
                self.say(TIMEOUT);
            }
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let bytes = &buf.filled()[before..];
        if !bytes.is_empty() {
            self.watch(bytes)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.noted(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = match only_one(slices) {
            Some(bytes) => Pin::new(&mut self.stream).poll_write(cx, bytes),
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
        };
        self.noted(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The connection of a request whose response has ended and whose body nobody reads.
    async fn left_body() -> ClientIo {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let clock = Arc::new(ConnClock::start());
        clock.request_began(false);
        clock.body_left();
        clock.request_ended();
        ClientIo::new(stream, clock, 1000)
    }

    #[tokio::test]
    async fn the_rest_of_a_body_that_nobody_reads_is_no_head() {
        let mut io = left_body().await;
        io.watch(&[b'x'; 2000]).unwrap();
        assert_eq!(io.clock.phase(), Phase::Idle);
        io.watch(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        assert_eq!(io.clock.phase(), Phase::Head);
        assert_eq!(io.clock.take_head_found(), (false, false));
        let mut io = left_body().await;
        io.watch(b"a\nb\n\n").unwrap();
        io.watch(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        assert_eq!(io.clock.take_head_found(), (false, false));
    }

    #[tokio::test]
    async fn a_head_is_looked_at_where_the_rest_of_a_body_could_be() {
        let mut io = left_body().await;
        io.watch(b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n")
            .unwrap();
        assert_eq!(io.clock.take_head_found(), (true, false));
        io.clock.request_began(false);
        io.clock.request_ended();
        assert!(io.watch(&[b'x'; 2000]).is_err(), "and the next one is bounded again");
    }
}
