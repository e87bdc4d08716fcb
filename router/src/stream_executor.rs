//! Runs each HTTP/2 stream in a task of its own, and ends those whose client does not take its response.
//!
//! hyper asks a response's body for its next piece and then waits until the client grants a window for it. Neither the body nor its
//! timer is polled meanwhile, and the connection lives on with every ping. So the wait is timed from outside: it goes on as
//! long as the last that the body did was to give a piece.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::Executor;

use crate::{
    clock::ConnClock,
    timer::{IdleWait, Timer},
};

/// The executor of one connection.
#[derive(Clone)]
pub(crate) struct StreamExecutor {
    pub(crate) clock: Arc<ConnClock>,
    /// How long a client may leave a piece of a response's body where it is.
    pub(crate) body_idle: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamExecutor {
    /// A stream that is dropped before its end is reset.
    fn execute(&self, stream: F) {
        let mut watch = StreamWatch {
            clock: Arc::clone(&self.clock),
            body_idle: self.body_idle,
            gave: false,
            wait: IdleWait::default(),
            timer: Timer::new(),
        };
        tokio::spawn(async move {
            let mut stream = pin!(stream);
            poll_fn(|cx| watch.poll(stream.as_mut(), cx)).await;
        });
    }
}

/// Tells whether a stream waits for its client.
struct StreamWatch {
    clock: Arc<ConnClock>,
    body_idle: Duration,
    /// The last that its response's body did was to give a piece.
    gave: bool,
    wait: IdleWait,
    timer: Timer,
}

impl StreamWatch {
    /// Ready when the stream has ended or has to.
    fn poll<F: Future<Output = ()>>(&mut self, stream: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<()> {
        // The streams of a connection share one thread: what is noted while this one is polled comes from its body.
        self.clock.take_body_polled();
        if stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Some(gave) = self.clock.take_body_polled() {
            self.gave = gave;
            self.wait.moved();
        }
        if self.gave {
            self.wait.poll(&mut self.timer, self.body_idle, cx)
        } else {
            Poll::Pending
        }
    }
}
