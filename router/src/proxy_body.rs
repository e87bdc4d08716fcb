//! What the client gets as response body: a page of our own, or the instance's body as it comes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::{connection::Exchange, endpoint::InFlight, proxy::Worker, timer::IdleWait, upstream::Link};

/// Why a response body was cut off; the client sees a broken connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the instance broke off its response")]
    Broken(#[source] hyper::Error),
    #[error("the instance's response stood still for too long")]
    Stalled,
}

/// How much of a body an HTTP/2 stream is given at a time: the frame that every client takes. hyper asks for the next piece when the
/// client's window covers the last one, so that a client has [`crate::Limits::body_idle`] for so much, however large the pieces are that
/// the instance sends.
const STREAM_PIECE: usize = 16 * 1024;

/// A response body; the exchange ends with it.
pub(crate) struct ProxyBody {
    source: Source,
    /// What an HTTP/2 stream has not been given yet of the source's last piece.
    rest: Bytes,
    exchange: Option<Exchange>,
}

enum Source {
    Bytes(Bytes),
    Instance(InstanceBody),
}

/// The body of an instance's response. Drives the connection it comes on, and gives it back when it has ended.
pub(crate) struct InstanceBody {
    incoming: Incoming,
    link: Option<Box<Link>>,
    in_flight: Option<InFlight>,
    worker: Arc<Worker>,
    wait: IdleWait,
}

impl ProxyBody {
    /// A body of our own.
    pub(crate) fn bytes(bytes: impl Into<Bytes>, exchange: Exchange) -> Self {
        Self {
            source: Source::Bytes(bytes.into()),
            rest: Bytes::new(),
            exchange: Some(exchange),
        }
    }

    /// No body, and an exchange that goes on elsewhere (in a tunnel).
    pub(crate) fn none() -> Self {
        Self {
            source: Source::Bytes(Bytes::new()),
            rest: Bytes::new(),
            exchange: None,
        }
    }

    /// An instance's body.
    pub(crate) fn instance(body: InstanceBody, exchange: Exchange) -> Self {
        Self {
            source: Source::Instance(body),
            rest: Bytes::new(),
            exchange: Some(exchange),
        }
    }

    /// Keeps back what is too much for a stream at once.
    fn cut(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        if !self.exchange.as_ref().is_some_and(Exchange::is_http2) {
            return frame;
        }
        match frame.into_data() {
            Ok(mut data) if data.len() > STREAM_PIECE => {
                self.rest = data.split_off(STREAM_PIECE);
                Frame::data(data)
            }
            Ok(data) => Frame::data(data),
            Err(trailers) => trailers,
        }
    }
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Instance(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Instance(body) => body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Instance(body) => body.incoming.size_hint(),
        }
    }
}

impl InstanceBody {
    pub(crate) fn new(incoming: Incoming, link: Box<Link>, in_flight: InFlight, worker: Arc<Worker>) -> Self {
        let mut body = Self {
            incoming,
            link: Some(link),
            in_flight: Some(in_flight),
            worker,
            wait: IdleWait::default(),
        };
        if body.incoming.is_end_stream() {
            body.finish(&mut Context::from_waker(std::task::Waker::noop()));
        }
        body
    }

    /// The body has ended: the connection can serve the next request, and this one is no longer in flight. Unless the rest of
    /// the request is still to be written: then it is, without us.
    fn finish(&mut self, cx: &mut Context<'_>) {
        let (Some(mut link), Some(mut in_flight)) = (self.link.take(), self.in_flight.take()) else {
            return;
        };
        if link.is_finished(cx) {
            in_flight.keep_idle(self.worker.index, link, self.worker.shared.limits.idle_upstreams);
        } else {
            link.detach(&self.worker.tasks, in_flight.share());
        }
    }

    /// The instance did not send its body to the end.
    fn break_off(&mut self) {
        self.link = None;
        if let Some(mut in_flight) = self.in_flight.take() {
            in_flight.fail();
        }
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if polled.is_pending()
            && let Some(link) = &mut self.link
        {
            link.drive(cx);
            polled = Pin::new(&mut self.incoming).poll_frame(cx);
        }
        match polled {
            Poll::Ready(frame) => {
                self.wait.moved();
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)))
            }
            Poll::Pending => {
                let idle = self.worker.shared.limits.body_idle;
                let Some(link) = &mut self.link else {
                    return Poll::Pending;
                };
                let waited = self.wait.poll(link.timer(), idle, cx);
                waited.map(|()| Some(Err(BodyError::Stalled)))
            }
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = self.poll_incoming(cx);
        match &polled {
            Poll::Ready(None) => self.finish(cx),
            Poll::Ready(Some(Ok(_))) if self.incoming.is_end_stream() => self.finish(cx),
            Poll::Ready(Some(Err(_))) => self.break_off(),
            _ => {}
        }
        polled
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = if self.rest.is_empty() {
            self.source.poll_frame(cx)
        } else {
            Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.rest)))))
        };
        if let Some(exchange) = &self.exchange {
            exchange.body_polled(polled.is_ready());
        }
        polled.map(|frame| frame.map(|frame| frame.map(|frame| self.cut(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.source.size_hint(), self.rest.len() as u64);
        // The upper bound first: it may never be below the lower one.
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
