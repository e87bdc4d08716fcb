//! A timer that is set for every wait but seldom moved.
//!
//! A timer for each request would cost two visits to the runtime's list of timers. As each wait is as long as the last one, the
//! timer that an earlier wait left comes before the new deadline; when it runs out, it is moved there.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline that can be waited for.
pub(crate) struct Timer {
    deadline: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    pub(crate) fn new() -> Self {
        Self {
            deadline: Instant::now(),
            sleep: None,
        }
    }

    /// Sets the deadline of the next wait.
    pub(crate) fn set(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Ready at the deadline.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

/// A wait for something that comes in pieces, each within the same time.
#[derive(Default)]
pub(crate) struct IdleWait {
    waits: bool,
}

impl IdleWait {
    /// A piece has come.
    pub(crate) fn moved(&mut self) {
        self.waits = false;
    }

    /// Called when no piece is there: ready if none has come for so long.
    pub(crate) fn poll(&mut self, timer: &mut Timer, idle: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if !self.waits {
            self.waits = true;
            timer.set(Instant::now() + idle);
        }
        timer.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SHORT: Duration = Duration::from_millis(40);

    async fn waited(timer: &mut Timer) -> Duration {
        let began = Instant::now();
        poll_fn(|cx| timer.poll(cx)).await;
        began.elapsed()
    }

    async fn is_pending(timer: &mut Timer) -> bool {
        poll_fn(|cx| Poll::Ready(timer.poll(cx).is_pending())).await
    }

    #[tokio::test]
    async fn a_timer_waits_for_the_deadline_that_was_set_last() {
        let mut timer = Timer::new();
        timer.set(Instant::now() + SHORT);
        assert!(is_pending(&mut timer).await);
        timer.set(Instant::now() + SHORT * 3);
        assert!(waited(&mut timer).await >= SHORT * 2, "later than the first one");
        timer.set(Instant::now() + SHORT);
        assert!(waited(&mut timer).await >= SHORT / 2, "after it has run out");
        timer.set(Instant::now() + SHORT * 1000);
        assert!(is_pending(&mut timer).await);
        timer.set(Instant::now() + SHORT);
        assert!(waited(&mut timer).await < SHORT * 500, "earlier than the one before");
    }

    #[tokio::test]
    async fn an_idle_wait_counts_from_the_last_piece() {
        let (mut timer, mut wait, mut pause) = (Timer::new(), IdleWait::default(), Timer::new());
        for _ in 0..3 {
            assert!(poll_fn(|cx| Poll::Ready(wait.poll(&mut timer, SHORT * 100, cx).is_pending())).await);
            pause.set(Instant::now() + SHORT);
            waited(&mut pause).await;
            wait.moved();
        }
        let began = Instant::now();
        poll_fn(|cx| wait.poll(&mut timer, SHORT, cx)).await;
        assert!(began.elapsed() >= SHORT / 2);
    }
}
