//! What a process of the engine does.

use clap::ValueEnum;

/// A role. One process may have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Takes intents over HTTP and shows what is.
    Api,
    /// Makes what is wanted come true.
    Worker,
    /// Routes requests to apps. Beside other roles it is a process of its own.
    Router,
}
