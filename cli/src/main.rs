//! `windlass`, the command line of Windlass. Everything is in the library, so that tests can use it.

use std::process::ExitCode;

fn main() -> ExitCode {
    windlass_cli::run(std::env::args_os())
}
