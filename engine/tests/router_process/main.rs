//! The router as a process: alone on a machine (`windlassd --roles router`), and in the place of one of another version.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that cannot go on should stop, and its name says what it is for"
)]

mod alone;
mod engine;
mod old_router;
mod process;
mod replacement;
mod supervision;
mod visitor;
