//! `windlass`: the user's tool, over the public HTTP API and the user's own `git` only.
//!
//! Data goes to stdout, everything else to stderr. This crate must never import a crate of the server, never send a token to
//! another server than the one it was made for, and never hand a byte of the user's or of the server's to a shell.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should stop"))]

pub mod alias;
pub mod app_name;
pub mod args;
pub mod client;
pub mod commands;
pub mod context;
pub mod credential;
pub mod dotenv;
pub mod environment;
pub mod error;
pub mod exit;
pub mod follow;
pub mod git;
pub mod output;
pub mod process_health;
pub mod prompt;
pub mod reference;
pub mod scale;
pub mod settings;
pub mod sse;
pub mod table;
pub mod time;
pub mod view;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;

use crate::{args::Cli, context::Context, error::CliError, exit::Exit, output::Output};

/// Runs one command line, the program's name first, and answers with its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = match Cli::try_parse_from(alias::split_first_colon(args.into_iter().collect())) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, with code 0. A closed pipe cannot be told to anybody.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8));
        }
    };
    let out = Output::new(&cli.global);
    match execute(cli, &out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out.error(&error);
            ExitCode::from(error.exit as u8)
        }
    }
}

fn execute(cli: Cli, out: &Output) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| CliError::failure(format!("cannot start: {source}")))?;
    let context = Context::load(cli.global, out)?;
    runtime.block_on(commands::dispatch(cli.command, &context))
}
