//! What the router itself runs short of: file descriptors, ports, memory. Neither an instance nor a client is to blame for it.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::io::Errno;

/// A shortage comes and goes with each descriptor that is closed; more lines would say nothing new.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Errors of a new connection that come from this side of it.
const LOCAL: [Errno; 8] = [
    Errno::MFILE,
    Errno::NFILE,
    Errno::ADDRNOTAVAIL,
    Errno::ADDRINUSE,
    Errno::AGAIN,
    Errno::NOBUFS,
    Errno::NOMEM,
    Errno::NOSPC,
];

/// Whether the error says that this machine ran short of something, and nothing about the peer.
pub(crate) fn is_local(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| LOCAL.contains(&errno))
}

/// Puts the router's shortages into the log, but not each of them.
#[derive(Debug, Default)]
pub(crate) struct ShortageLog {
    warned: Mutex<Option<Instant>>,
}

impl ShortageLog {
    /// Something could not be done because of `error`.
    pub(crate) fn note(&self, error: &io::Error, undone: &'static str) {
        if self.is_due(Instant::now()) {
            tracing::warn!(%error, "the router runs short: {undone}; this is said once a minute at most");
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let due = warned.is_none_or(|last| now.duration_since(last) >= WARN_EVERY);
        if due {
            *warned = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_lacks_is_told_from_what_a_peer_does() {
        for errno in LOCAL {
            assert!(is_local(&io::Error::from(errno)), "{errno:?}");
        }
        for errno in [
            Errno::CONNREFUSED,
            Errno::CONNRESET,
            Errno::HOSTUNREACH,
            Errno::TIMEDOUT,
        ] {
            assert!(!is_local(&io::Error::from(errno)), "{errno:?}");
        }
        assert!(!is_local(&io::Error::other("no number")));
    }

    #[test]
    fn a_shortage_that_lasts_is_logged_once_a_minute() {
        let (log, start) = (ShortageLog::default(), Instant::now());
        let due = [0, 1, 59, 60, 61, 120].map(|second| log.is_due(start + Duration::from_secs(second)));
        assert_eq!(due, [true, false, false, true, false, true]);
    }
}
