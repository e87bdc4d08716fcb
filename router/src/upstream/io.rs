//! The socket to an instance, with a way to ask the kernel whether the instance has closed it, and an end to the wait for an
//! instance that reads nothing.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use rustix::net::{RecvFlags, recv};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{
    client_io::only_one,
    timer::{IdleWait, Timer},
};

/// A socket to an instance. With `probe` set, the next read first looks whether the peer has closed, although the reactor may
/// not have heard of it yet.
pub(super) struct UpstreamIo {
    stream: TcpStream,
    probe: Arc<AtomicBool>,
    /// How long the instance may take no byte. hyper asks for no more of a request's body meanwhile, so the body's own limit
    /// does not run then.
    write_idle: Option<Duration>,
    timer: Timer,
    wait: IdleWait,
}

impl UpstreamIo {
    pub(super) fn new(stream: TcpStream, probe: Arc<AtomicBool>, write_idle: Option<Duration>) -> Self {
        Self {
            stream,
            probe,
            write_idle,
            timer: Timer::new(),
            wait: IdleWait::default(),
        }
    }

    /// What became of a write; a timeout if none got further for too long.
    fn noted(&mut self, outcome: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match (outcome, self.write_idle) {
            (Poll::Pending, Some(idle)) => {
                let waited = self.wait.poll(&mut self.timer, idle, cx);
                waited.map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
            (outcome, _) => {
                self.wait.moved();
                outcome
            }
        }
    }

    /// Nothing may be there to read on an idle connection: an end, an error and data all make it unusable.
    fn look(&self) -> io::Result<()> {
        match recv(&self.stream, &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

impl AsyncRead for UpstreamIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.probe.load(Relaxed) {
            self.probe.store(false, Relaxed);
            self.look()?;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        // One that answers while it does not read is at work: it may stream, and read on when it has got rid of something.
        if buf.filled().len() > before {
            self.wait.moved();
        }
        read
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.noted(outcome, cx)
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
        self.noted(outcome, cx)
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
