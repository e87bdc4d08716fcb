//! Watches the time of one client connection without a timer per request.
//!
//! hyper has one timeout for the wait between requests and the reading of a head; here they are two, and a peer that does not
//! take its response is a third. The connection's task asks [`ConnClock::deadline`] after each poll, so the usual request
//! costs a few relaxed stores and no timer.

use std::{
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::Limits;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Waiting for the next request.
    Idle = 0,
    /// Reading the head of a request (or connected and silent).
    Head = 1,
    /// Serving at least one request.
    Busy = 2,
}

/// Why the connection is to be ended by its own reader, with a last word to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum LastWord {
    None = 0,
    Timeout = 1,
}

/// The times of one connection. Shared by its parts, used by one task at a time.
#[derive(Debug)]
pub(crate) struct ConnClock {
    started: Instant,
    phase: AtomicU8,
    since_ms: AtomicU64,
    /// When the client stopped taking bytes; 0 while it takes them.
    blocked_ms: AtomicU64,
    in_flight: AtomicU32,
    http2: AtomicBool,
    last_word: AtomicU8,
    content_length_seen: AtomicBool,
    bare_line_feed: AtomicBool,
    winding_up: AtomicBool,
    /// The last request's body was left before its end.
    body_left: AtomicBool,
    /// What a response's body did when it was polled: 0 if none was.
    body_polled: AtomicU8,
}

impl ConnClock {
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
            phase: AtomicU8::new(Phase::Head as u8),
            since_ms: AtomicU64::new(0),
            blocked_ms: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            http2: AtomicBool::new(false),
            last_word: AtomicU8::new(LastWord::None as u8),
            content_length_seen: AtomicBool::new(false),
            bare_line_feed: AtomicBool::new(false),
            winding_up: AtomicBool::new(false),
            body_left: AtomicBool::new(false),
            body_polled: AtomicU8::new(0),
        }
    }

    /// Milliseconds since the connection began, never 0.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Head,
            _ => Phase::Busy,
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        if phase != Phase::Busy {
            self.since_ms.store(self.now_ms(), Relaxed);
        }
    }

    /// The first bytes of a request arrived. HTTP/2 connections also carry frames that begin no request.
    pub(crate) fn head_began(&self) {
        if !self.http2.load(Relaxed) {
            self.enter(Phase::Head);
        }
    }

    /// A request is being served.
    pub(crate) fn request_began(&self, http2: bool) {
        if http2 {
            self.http2.store(true, Relaxed);
        }
        self.body_left.store(false, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        self.enter(Phase::Busy);
    }

    /// A request was served.
    pub(crate) fn request_ended(&self) {
        if self.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.enter(Phase::Idle);
        }
    }

    /// Nobody wants the rest of a request's body.
    pub(crate) fn body_left(&self) {
        self.body_left.store(true, Relaxed);
    }

    /// Takes whether the next bytes may be the rest of such a body. hyper reads once more for it, then closes if that was not
    /// all.
    pub(crate) fn take_body_left(&self) -> bool {
        self.body_left.load(Relaxed) && self.body_left.swap(false, Relaxed)
    }

    /// The next request is to be the last.
    pub(crate) fn wind_up(&self) {
        self.winding_up.store(true, Relaxed);
    }

    pub(crate) fn is_winding_up(&self) -> bool {
        self.winding_up.load(Relaxed)
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.http2.load(Relaxed)
    }

    /// Notes whether the client takes bytes.
    pub(crate) fn write_blocked(&self, blocked: bool) {
        let was = self.blocked_ms.load(Relaxed);
        if blocked && was == 0 {
            self.blocked_ms.store(self.now_ms(), Relaxed);
        } else if !blocked && was != 0 {
            self.blocked_ms.store(0, Relaxed);
            if self.phase() == Phase::Idle {
                // It was still taking a response that had been written: only now does it wait.
                self.enter(Phase::Idle);
            }
        }
    }

    /// When the connection has to be ended if nothing happens; `None` while a request is served.
    pub(crate) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let since = self.since_ms.load(Relaxed);
        let blocked = match self.blocked_ms.load(Relaxed) {
            0 => None,
            since => Some(at(since, limits.body_idle)),
        };
        let phase = match self.phase() {
            Phase::Idle if blocked.is_none() => Some(at(since, limits.keep_alive_idle)),
            Phase::Head => Some(at(since, limits.header_read)),
            Phase::Idle | Phase::Busy => None,
        };
        [phase, blocked]
            .into_iter()
            .flatten()
            .min()
            .map(|ms| self.started + Duration::from_millis(ms))
    }

    pub(crate) fn is_write_blocked(&self) -> bool {
        self.blocked_ms.load(Relaxed) != 0
    }

    /// Since when it has waited for a request or read its head; `None` while one is served.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        let since = self.started + Duration::from_millis(self.since_ms.load(Relaxed));
        (self.phase() != Phase::Busy).then_some(since)
    }

    /// A response's body was polled, and gave a piece or had none.
    pub(crate) fn body_polled(&self, gave: bool) {
        self.body_polled.store(if gave { 1 } else { 2 }, Relaxed);
    }

    /// Takes whether the body that was polled last gave a piece; `None` if none was polled since the last time.
    pub(crate) fn take_body_polled(&self) -> Option<bool> {
        match self.body_polled.swap(0, Relaxed) {
            0 => None,
            outcome => Some(outcome == 1),
        }
    }

    /// Asks the connection's reader to say why it ends.
    pub(crate) fn ask_last_word(&self, word: LastWord) {
        self.last_word.store(word as u8, Relaxed);
    }

    pub(crate) fn last_word(&self) -> LastWord {
        match self.last_word.load(Relaxed) {
            0 => LastWord::None,
            _ => LastWord::Timeout,
        }
    }

    /// Notes what the scan of the raw head found.
    pub(crate) fn head_found(&self, content_length: bool, bare_line_feed: bool) {
        self.content_length_seen.store(content_length, Relaxed);
        self.bare_line_feed.store(bare_line_feed, Relaxed);
    }

    /// Takes what the scan found: whether the head had a `Content-Length`, and a line that ended in a bare line feed.
    pub(crate) fn take_head_found(&self) -> (bool, bool) {
        let found = (
            self.content_length_seen.load(Relaxed),
            self.bare_line_feed.load(Relaxed),
        );
        if found != (false, false) {
            self.head_found(false, false);
        }
        found
    }
}

fn at(since_ms: u64, limit: Duration) -> u64 {
    since_ms.saturating_add(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_still_takes_a_response_is_not_idle() {
        let hour = Duration::from_secs(3600);
        let mut clock = ConnClock::start();
        clock.started -= hour;
        let limits = Limits::default();
        let left = || {
            clock
                .deadline(&limits)
                .map(|at| at.saturating_duration_since(Instant::now()))
        };
        clock.request_began(false);
        clock.request_ended();
        clock.since_ms.store(1, Relaxed);
        assert_eq!(left(), Some(Duration::ZERO), "it has waited for an hour");
        clock.write_blocked(true);
        let second = Duration::from_secs(1);
        assert!(
            left().unwrap() + second > limits.body_idle,
            "what was written is not there yet"
        );
        clock.write_blocked(false);
        assert!(
            left().unwrap() + second > limits.keep_alive_idle,
            "only now does it wait"
        );
    }
}
