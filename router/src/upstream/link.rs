//! One connection to an instance.
//!
//! hyper's connection future is usually spawned, so that each request costs two hand-overs between tasks. Here it stays with
//! its sender and is polled by whoever uses the connection: the request, then the response's body, then (idle) the next
//! request or the sweep.

use std::{
    error::Error,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time};
use tokio_util::task::TaskTracker;

use super::io::UpstreamIo;
use crate::{
    endpoint::Place,
    request_body::{OutBody, Progress},
    shortage,
    timer::Timer,
};

/// How far the buffer of a connection grows while large responses pass. The head of a response has to fit into it.
const MAX_BUFFER_BYTES: usize = 128 * 1024;

type Connection = http1::Connection<TokioIo<UpstreamIo>, OutBody>;

/// A connection to an instance and its sender.
pub(crate) struct Link {
    sender: http1::SendRequest<OutBody>,
    /// `None` once it has ended or runs in a task of its own.
    connection: Option<Connection>,
    probe: Arc<AtomicBool>,
    used: Instant,
    timer: Timer,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the instance refused the connection")]
    Refused(#[source] io::Error),
    #[error("the instance did not answer in time")]
    Timeout,
    #[error("the router has nothing left to connect with")]
    RanShort(#[source] io::Error),
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        if shortage::is_local(&error) {
            Self::RanShort(error)
        } else {
            Self::Refused(error)
        }
    }
}

/// Why there is no response.
pub(crate) enum SendError {
    /// Nothing was sent; the request can go elsewhere.
    Unsent(Box<Request<OutBody>>),
    /// The connection broke after some of the request was sent.
    Broken(hyper::Error),
    /// The head of the response did not come in time.
    Timeout,
}

/// How long to wait for the head of a response: from the end of the request's body.
pub(crate) struct Patience {
    pub(crate) timeout: Duration,
    pub(crate) body: Option<Arc<Progress>>,
}

impl Patience {
    /// Called when the time is up: the new deadline if the body ended late or goes on, `None` if it is really up.
    fn extended(&self) -> Option<time::Instant> {
        let ended = match self.body.as_ref()?.ended() {
            Some(ended) => time::Instant::from_std(ended),
            None => time::Instant::now(),
        };
        let deadline = ended + self.timeout;
        (deadline > time::Instant::now()).then_some(deadline)
    }
}

impl Link {
    /// Connects to an instance; the connection breaks if the instance takes no byte for `write_idle` while there are some.
    pub(crate) async fn connect(
        address: SocketAddr,
        timeout: Duration,
        write_idle: Option<Duration>,
    ) -> Result<Box<Self>, ConnectError> {
        let stream = time::timeout(timeout, TcpStream::connect(address))
            .await
            .map_err(|_| ConnectError::Timeout)??;
        stream.set_nodelay(true)?;
        let probe = Arc::new(AtomicBool::new(false));
        let io = TokioIo::new(UpstreamIo::new(stream, Arc::clone(&probe), write_idle));
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_BUFFER_BYTES)
            .handshake(io)
            .await
            .map_err(|error| ConnectError::Refused(io::Error::other(error)))?;
        Ok(Box::new(Self {
            sender,
            connection: Some(connection),
            probe,
            used: Instant::now(),
            timer: Timer::new(),
        }))
    }

    /// Moves the connection forward, for whoever waits in `cx`.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(cx).is_ready()
        {
            self.connection = None;
        }
    }

    /// Whether an idle connection can take a request, as far as the reactor has heard.
    pub(crate) fn is_usable(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.connection.is_some() && self.sender.is_ready()
    }

    /// As [`Self::is_usable`], and the kernel is asked too. For requests that cannot be sent twice.
    pub(crate) fn is_surely_usable(&mut self) -> bool {
        self.probe.store(true, Relaxed);
        self.is_usable()
    }

    /// Whether the exchange has ended on both sides, so that the connection can wait for the next.
    pub(crate) fn is_finished(&mut self, cx: &mut Context<'_>) -> bool {
        self.drive(cx);
        self.used = Instant::now();
        self.connection.is_some() && self.sender.is_ready()
    }

    /// The timer of whoever uses the connection.
    pub(crate) fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }

    /// How long it has been idle.
    pub(crate) fn idle_for(&self) -> Duration {
        self.used.elapsed()
    }

    /// Lets the connection run in a task of its own: for upgrades, and for a request body that goes on while the response
    /// comes, which must not wait for the client to read. `held` is dropped when it has ended.
    pub(crate) fn detach(&mut self, tasks: &TaskTracker, held: Arc<Place>) {
        if let Some(connection) = self.connection.take() {
            tasks.spawn(async move {
                let _held = held;
                if let Err(error) = connection.with_upgrades().await {
                    tracing::debug!(%error, "a connection to an instance broke");
                }
            });
        }
    }

    /// Sends a request and waits for the head of its response.
    pub(crate) async fn send(
        &mut self,
        request: Request<OutBody>,
        patience: &Patience,
    ) -> Result<Response<Incoming>, SendError> {
        let mut response = pin!(self.sender.try_send_request(request));
        let timer = &mut self.timer;
        timer.set(time::Instant::now() + patience.timeout);
        let link_connection = &mut self.connection;
        poll_fn(|cx| {
            if let Some(connection) = link_connection
                && Pin::new(connection).poll(cx).is_ready()
            {
                *link_connection = None;
            }
            if let Poll::Ready(outcome) = response.as_mut().poll(cx) {
                return Poll::Ready(outcome.map_err(SendError::from));
            }
            while timer.poll(cx).is_ready() {
                match patience.extended() {
                    Some(deadline) => timer.set(deadline),
                    None => return Poll::Ready(Err(SendError::Timeout)),
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Whether the connection broke because the other side was silent for too long.
pub(crate) fn is_timeout(error: &hyper::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let io = inner.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = inner.source();
    }
    false
}

impl From<TrySendError<Request<OutBody>>> for SendError {
    fn from(mut error: TrySendError<Request<OutBody>>) -> Self {
        match error.take_message() {
            Some(request) => Self::Unsent(Box::new(request)),
            None => Self::Broken(error.into_error()),
        }
    }
}
