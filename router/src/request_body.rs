//! The client's request body on its way to the instance: streamed, bounded in size, and not allowed to stand still.

use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::{
    Limits,
    connection::Exchange,
    timer::{IdleWait, Timer},
};

/// Why a request body was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFault {
    #[error("the request's body stood still for too long")]
    Stalled = 1,
    #[error("the request's body is too large")]
    TooLarge = 2,
    #[error("the client went away in the middle of its request")]
    Lost = 3,
}

/// How a request body fares, for those who wait for the response.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    ended: OnceLock<Instant>,
    fault: AtomicU8,
}

impl Progress {
    /// When the body ended, well or not; `None` while it goes on.
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.ended.get().copied()
    }

    /// Why it was cut off, if it was.
    pub(crate) fn fault(&self) -> Option<BodyFault> {
        match self.fault.load(Relaxed) {
            1 => Some(BodyFault::Stalled),
            2 => Some(BodyFault::TooLarge),
            3 => Some(BodyFault::Lost),
            _ => None,
        }
    }

    fn end(&self) {
        let _ = self.ended.set(Instant::now());
    }

    fn fail(&self, fault: BodyFault) -> BodyFault {
        self.fault.store(fault as u8, Relaxed);
        self.end();
        fault
    }
}

/// What is sent to an instance as body.
pub(crate) enum OutBody {
    /// Nothing.
    Empty,
    /// The client's body as it comes.
    Stream(Box<RequestBody>),
}

/// A client's body under watch.
pub(crate) struct RequestBody {
    incoming: Incoming,
    progress: Arc<Progress>,
    /// The client's connection serves the request until its body has ended, though the response may have ended before: what
    /// comes on it is not the next request's head. `None` once the body has ended.
    exchange: Option<Exchange>,
    idle: Duration,
    remaining: Option<u64>,
    timer: Timer,
    wait: IdleWait,
}

impl OutBody {
    /// Wraps the client's body. The progress is `None` for a request without one.
    pub(crate) fn watch(incoming: Incoming, exchange: &Exchange, limits: &Limits) -> (Self, Option<Arc<Progress>>) {
        if incoming.is_end_stream() {
            return (Self::Empty, None);
        }
        let progress = Arc::new(Progress::default());
        let body = RequestBody {
            incoming,
            progress: Arc::clone(&progress),
            exchange: Some(exchange.share()),
            idle: limits.body_idle,
            remaining: limits.max_request_body_bytes,
            timer: Timer::new(),
            wait: IdleWait::default(),
        };
        (Self::Stream(Box::new(body)), Some(progress))
    }
}

impl RequestBody {
    fn poll_watched(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.wait.moved();
                Poll::Ready(frame.map(|frame| frame.map_err(|_| BodyFault::Lost).and_then(|frame| self.count(frame))))
            }
            Poll::Pending => {
                let idle = self.idle;
                let waited = self.wait.poll(&mut self.timer, idle, cx);
                waited.map(|()| Some(Err(BodyFault::Stalled)))
            }
        }
    }

    fn count(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyFault> {
        if let (Some(remaining), Some(data)) = (&mut self.remaining, frame.data_ref()) {
            *remaining = remaining.checked_sub(data.len() as u64).ok_or(BodyFault::TooLarge)?;
        }
        Ok(frame)
    }

    fn end(&mut self) {
        self.progress.end();
        self.exchange = None;
    }
}

impl Body for OutBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let Self::Stream(body) = &mut *self else {
            return Poll::Ready(None);
        };
        let polled = body.poll_watched(cx);
        match &polled {
            Poll::Ready(None) => body.end(),
            Poll::Ready(Some(Err(fault))) => drop(body.progress.fail(*fault)),
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() || body.incoming.is_end_stream() => body.end(),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(body) => body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream(body) => body.incoming.size_hint(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(exchange) = &self.exchange {
            exchange.leave_body();
        }
        self.progress.end();
    }
}
