//! What git starts in the tests, as `windlassd` is what it starts otherwise.
#![allow(clippy::disallowed_methods, reason = "a program is its own composition root")]

use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    let (Ok(socket), Ok(ticket)) = (
        std::env::var("WINDLASS_HOOK_SOCKET"),
        std::env::var("WINDLASS_PUSH_TICKET"),
    ) else {
        return ExitCode::FAILURE;
    };
    windlass_api::push_hook::run(Path::new(&socket), &ticket)
}
