//! What a build tells while it runs.

use std::time::Duration;

/// One thing that happened, in order. Texts are clean: no control characters but colour, known secrets redacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildEvent {
    /// The build cannot begin yet.
    Waiting {
        /// Why, such as `Waiting for a build slot: 2 builds run`.
        reason: String,
    },
    /// A step begins.
    StepStarted {
        /// Counts from 1 within the build; steps that run side by side have different numbers.
        step: u32,
        /// What it is, such as `[2/4] RUN npm ci`.
        name: String,
    },
    /// A line of output.
    Line {
        /// The step that wrote it.
        step: u32,
        /// Where it was written to.
        stream: LineStream,
        /// The text, without its line end.
        text: String,
    },
    /// A step ended.
    StepFinished {
        /// The number it started with.
        step: u32,
        /// What it is.
        name: String,
        /// Whether its result was there already.
        cached: bool,
        /// How long it ran.
        duration: Duration,
        /// Why it failed; none if it did not.
        error: Option<String>,
    },
    /// The builder itself has something to say, such as that output is left out.
    Warning {
        /// The text.
        text: String,
    },
}

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineStream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}
