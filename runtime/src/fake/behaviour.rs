use std::time::Duration;

use crate::{Exit, LogStream};

/// What a fake container does.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// What it writes when it starts.
    pub says: Vec<(LogStream, String)>,
    /// What it then writes line by line, with this pause before each.
    pub goes_on: Option<(Duration, Vec<String>)>,
    /// What it listens on.
    pub listens: Vec<Listen>,
    /// The HTTP status of its answers; none: it accepts and closes.
    pub answers: Option<u16>,
    /// When and how it ends by itself (after all that it says).
    pub ends: Option<(Duration, Exit)>,
    /// Whether it goes on after SIGTERM.
    pub ignores_sigterm: bool,
}

/// One socket of a fake container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// The port that the spec expects, on all addresses.
    Expected,
    /// This port on all addresses.
    Port(u16),
    /// This port on 127.0.0.1 only.
    Loopback(u16),
}

impl Behaviour {
    /// A server that listens where it should and answers 200.
    pub fn web() -> Self {
        Self {
            listens: vec![Listen::Expected],
            answers: Some(200),
            ..Self::default()
        }
    }

    /// Runs until it is stopped, and listens nowhere.
    pub fn sleeps() -> Self {
        Self::default()
    }

    /// Ends at once with this code.
    pub fn exits(code: i64) -> Self {
        Self {
            ends: Some((
                Duration::ZERO,
                Exit {
                    code,
                    oom_killed: false,
                },
            )),
            ..Self::default()
        }
    }

    /// The same, writing these lines to standard output first.
    #[must_use]
    pub fn saying<'a>(mut self, lines: impl IntoIterator<Item = &'a str>) -> Self {
        self.says
            .extend(lines.into_iter().map(|line| (LogStream::Stdout, line.to_owned())));
        self
    }
}
