//! Windlass' repositories against the real git: its client, its server side, its opinion of a commit.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on should stop")]

mod fetch;
mod push;
mod support;
mod tree;
mod upkeep;
