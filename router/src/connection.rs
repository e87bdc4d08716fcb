//! One client connection, from accept to close.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    net::IpAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};
use tokio_util::sync::WaitForCancellationFuture;

use crate::{
    Limits,
    accept::Admission,
    client_io::ClientIo,
    clock::{ConnClock, LastWord, Phase},
    message::ClientNames,
    proxy::{self, Worker},
    stream_executor::StreamExecutor,
};

/// What all requests of a connection share.
pub(crate) struct Client {
    pub(crate) worker: Arc<Worker>,
    pub(crate) clock: Arc<ConnClock>,
    pub(crate) names: ClientNames,
    _admission: Admission,
}

/// One request of a client, until its response (or tunnel) has ended, and its own body.
pub(crate) struct Exchange(Arc<Client>);

impl Exchange {
    pub(crate) fn begin(client: &Arc<Client>, http2: bool) -> Self {
        client.clock.request_began(http2);
        Self(Arc::clone(client))
    }

    /// For a part of the request that may outlive its response: the exchange has ended when all its shares are dropped.
    pub(crate) fn share(&self) -> Self {
        Self::begin(&self.0, self.0.clock.is_http2())
    }

    /// Nobody wants the rest of its body.
    pub(crate) fn leave_body(&self) {
        self.0.clock.body_left();
    }

    /// Whether it is one of the streams of a connection.
    pub(crate) fn is_http2(&self) -> bool {
        self.0.clock.is_http2()
    }

    /// Its response's body was polled, and gave a piece or had none.
    pub(crate) fn body_polled(&self, gave: bool) {
        self.0.clock.body_polled(gave);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.clock.request_ended();
    }
}

/// Serves a connection until either side ends it.
pub(crate) async fn serve(worker: Arc<Worker>, stream: TcpStream, admission: Admission, ip: IpAddr) {
    let clock = Arc::new(ConnClock::start());
    let shared = Arc::clone(&worker.shared);
    let io = TokioIo::new(ClientIo::new(
        stream,
        Arc::clone(&clock),
        shared.limits.max_header_bytes,
    ));
    let names = ClientNames::new(ip);
    let client = Arc::new(Client {
        worker,
        clock: Arc::clone(&clock),
        names,
        _admission: admission,
    });
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let client = Arc::clone(&client);
        async move { Ok::<_, Infallible>(proxy::answer(client, request).await) }
    });
    let builder = builder(&shared.limits, &clock);
    let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));
    let mut closing = pin!(shared.closing.cancelled());
    let is_closing = &shared.is_closing;
    let mut timer = pin!(sleep(shared.limits.header_read));
    let mut watch = Watch {
        clock: &clock,
        limits: &shared.limits,
        is_closing,
        closing: Some(closing.as_mut()),
        timer: timer.as_mut(),
        ends_at: None,
        graceful: false,
        grace: None,
    };
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(outcome) = connection.as_mut().poll(cx) {
                if let Err(error) = outcome {
                    tracing::trace!(%ip, %error, "connection ended early");
                }
                return Poll::Ready(());
            }
            match ready!(watch.poll(cx)) {
                Verdict::CloseGracefully => connection.as_mut().graceful_shutdown(),
                Verdict::SayTimeout => clock.ask_last_word(LastWord::Timeout),
                Verdict::Drop => return Poll::Ready(()),
            }
        }
    })
    .await;
}

/// hyper's own header timeout is off: [`ConnClock`] tells the wait between requests from the reading of a head.
fn builder(limits: &Limits, clock: &Arc<ConnClock>) -> auto::Builder<StreamExecutor> {
    let mut builder = auto::Builder::new(StreamExecutor {
        clock: Arc::clone(clock),
        body_idle: limits.body_idle,
    });
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(250)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(50)
        .max_local_error_reset_streams(250)
        .keep_alive_interval(limits.keep_alive_idle / 2)
        .keep_alive_timeout(limits.header_read);
    builder
}

/// What has to be done with a connection.
enum Verdict {
    CloseGracefully,
    SayTimeout,
    Drop,
}

/// Looks after the connection's deadlines and the router's end.
struct Watch<'a, 'c> {
    clock: &'a ConnClock,
    limits: &'a Limits,
    is_closing: &'a AtomicBool,
    /// Polled once: it then wakes this task when the router closes, and [`Self::is_closing`] tells it without a lock.
    closing: Option<Pin<&'a mut WaitForCancellationFuture<'c>>>,
    timer: Pin<&'a mut Sleep>,
    /// The router closes: when the connection has to at the earliest, if it is idle then.
    ends_at: Option<Instant>,
    /// The connection was told to take no further request.
    graceful: bool,
    /// Until when it may take to do so.
    grace: Option<Instant>,
}

impl Watch<'_, '_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Verdict> {
        if let Some(closing) = self.closing.take() {
            let _ = closing.poll(cx);
        }
        if self.ends_at.is_none() && self.is_closing.load(Relaxed) {
            self.clock.wind_up();
            self.ends_at = Some(Instant::now() + self.limits.keep_alive_grace);
        }
        // HTTP/2 can tell the client which requests are still answered; HTTP/1.1 can only close, so it waits for the next one.
        if self.ends_at.is_some() && !self.graceful && self.clock.is_http2() {
            self.graceful = true;
            return Poll::Ready(Verdict::CloseGracefully);
        }
        self.poll_deadline(cx)
    }

    /// The timer is only moved when a deadline comes before it, or when it has run out.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Verdict> {
        loop {
            let deadline = self.clock.deadline(self.limits).map(Instant::from_std).max(self.grace);
            let end = self.end();
            if let Some(next) = deadline.into_iter().chain(end).min()
                && next < self.timer.deadline()
            {
                self.timer.as_mut().reset(next);
            }
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            self.timer.as_mut().reset(now + self.limits.header_read);
            if end.is_some_and(|end| end <= now) {
                self.graceful = true;
                return Poll::Ready(Verdict::CloseGracefully);
            }
            if deadline.is_some_and(|deadline| deadline <= now) {
                self.grace = Some(now + self.limits.header_read);
                return Poll::Ready(self.expire());
            }
        }
    }

    /// When an idle connection ends because the router does. A response that began before that did not tell the client to close,
    /// so the wait for its next request counts from its end.
    fn end(&self) -> Option<Instant> {
        let ends_at = self.ends_at.filter(|_| !self.graceful)?;
        let waits_since = Instant::from_std(self.clock.waits_since()?);
        Some(ends_at.max(waits_since + self.limits.keep_alive_grace))
    }

    fn expire(&mut self) -> Verdict {
        if self.clock.is_write_blocked() {
            return Verdict::Drop;
        }
        match self.clock.phase() {
            Phase::Head if self.clock.last_word() == LastWord::None => Verdict::SayTimeout,
            Phase::Idle if !self.graceful => {
                self.graceful = true;
                Verdict::CloseGracefully
            }
            _ => Verdict::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_connection_whose_response_ends_after_the_router_began_to_close_still_has_its_grace() {
        let (clock, limits, is_closing) = (ConnClock::start(), Limits::default(), AtomicBool::new(true));
        let mut timer = pin!(sleep(Duration::from_secs(60)));
        let ends_at = Instant::now();
        let watch = Watch {
            clock: &clock,
            limits: &limits,
            is_closing: &is_closing,
            closing: None,
            timer: timer.as_mut(),
            ends_at: Some(ends_at),
            graceful: false,
            grace: None,
        };
        clock.request_began(false);
        assert_eq!(watch.end(), None, "a request is served");
        clock.request_ended();
        assert!(watch.end().unwrap() >= ends_at + limits.keep_alive_grace);
    }
}
