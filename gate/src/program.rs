//! The program that the runtime runs inside a container to ask for its health: the container is healthy when its gate is open.
//!
//! It is compiled by `build.rs`, by itself and statically, because it has to run in images that hold nothing at all. So it uses the
//! standard library alone, and no thread, no process and no network of it.
//!
//! Starting a program inside a container costs much more than this program does. So it does not answer at once where it has nothing
//! new to say: it waits until its gate moves, and is started every other minute, not every second.

mod state;

use std::{
    fs,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use state::State;

/// How long it waits at most: an answer that came to nothing is given again after this.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it looks.
const PAUSE: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let Some(file) = std::env::args_os().nth(1) else {
        return ExitCode::FAILURE;
    };
    let look = || State::read(fs::read_to_string(&file).unwrap_or_default().trim_end());
    let first = look();
    let until = Instant::now() + PATIENCE;
    let mut state = first;
    while state == first && state.is_some_and(|state| state.told) && Instant::now() < until {
        thread::sleep(PAUSE);
        state = look();
    }
    match state {
        Some(state) if state.open => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
