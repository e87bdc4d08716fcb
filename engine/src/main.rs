//! `windlassd`: the engine. The composition root and nothing else: it reads the environment and the configuration, wires the
//! roles, and owns their end. Rules of the business live in the crates that it puts together.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should stop"))]

mod config;
mod data_dir;
mod docker;
mod doctor;
mod edge;
mod log_files;
mod logging;
mod master_key;
mod outlook;
mod ownership;
mod postgres;
mod readiness;
mod roles;
mod router_process;
mod run;
mod setup_token;
mod shutdown;
mod socket;
mod stop;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{config::Loaded, roles::Role};

/// The Windlass engine: builds, releases, runs and routes apps.
#[derive(Parser)]
#[command(name = "windlassd", version, disable_help_subcommand = true)]
struct Arguments {
    /// The configuration file [default: /etc/windlass/windlass.toml, if it exists]
    #[arg(long, global = true, env = "WINDLASS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The roles of this process
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "api,worker,router",
        value_name = "ROLES"
    )]
    roles: Vec<Role>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the engine (what happens without a command, too)
    Run {
        /// The roles of this process
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "api,worker,router",
            value_name = "ROLES"
        )]
        roles: Vec<Role>,
    },
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Check what the engine needs: Docker, git, PostgreSQL, ports, disk, DNS
    Doctor {
        /// Print the verdicts as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a new one-time token for the first login
    SetupToken,
    /// End the engine of this data directory; apps go on running
    Stop {
        /// End its router as well: apps are then no longer reachable
        #[arg(long)]
        all: bool,
    },
    /// Look after the built-in router
    Router {
        #[command(subcommand)]
        action: RouterAction,
    },
    /// The router process; started by the engine
    #[command(hide = true)]
    RouterProcess,
}

#[derive(Subcommand)]
enum ConfigAction {
    /// Print every key with its value and origin, or every problem
    Check,
}

#[derive(Subcommand)]
enum RouterAction {
    /// Have a new router process take over from the one that runs, without losing a request
    Restart,
}

fn main() -> ExitCode {
    if called_as_hook() {
        return hook();
    }
    // One crypto provider for every client in this process, before the first of them is made.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments = Arguments::parse();
    match act(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("windlassd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// git runs us through a link with the name of its hook.
fn called_as_hook() -> bool {
    std::env::args_os()
        .next()
        .is_some_and(|name| Path::new(&name).file_name().is_some_and(|name| name == "proc-receive"))
}

fn hook() -> ExitCode {
    let (socket, ticket) = (environment("WINDLASS_HOOK_SOCKET"), environment("WINDLASS_PUSH_TICKET"));
    match (socket, ticket) {
        (Some(socket), Some(ticket)) => windlass_api::push_hook::run(&PathBuf::from(socket), &ticket),
        _ => {
            eprintln!("this repository takes pushes over HTTP only");
            ExitCode::FAILURE
        }
    }
}

/// The one place where the environment is read.
#[expect(clippy::disallowed_methods, reason = "the engine is where the environment is read")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What is set in the environment, by name; a name that is no text is none of ours.
#[expect(clippy::disallowed_methods, reason = "the engine is where the environment is read")]
fn variables() -> Vec<String> {
    std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .collect()
}

fn load(file: Option<&Path>) -> anyhow::Result<Loaded> {
    Ok(config::load(file, &environment)?)
}

/// Variables that look like ours and are none, each with the one that is most likely meant.
fn unknown_variables() -> Vec<String> {
    config::unknown_variables(variables())
}

fn act(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let file = arguments.config.as_deref();
    match arguments.command {
        None => run::run(load(file)?.config, &arguments.roles),
        Some(Command::Run { roles }) => run::run(load(file)?.config, &roles),
        Some(Command::Config {
            action: ConfigAction::Check,
        }) => {
            let mut text = settings_text(&load(file)?);
            for warning in unknown_variables() {
                text.push_str(&format!("warning: {warning}\n"));
            }
            // A reader that has seen enough (`| head`) is no fault.
            let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Doctor { json }) => doctor::run(&load(file)?.config, json),
        Some(Command::SetupToken) => setup_token::renew(&load(file)?.config),
        Some(Command::Stop { all }) => stop::run(&load(file)?.config, all),
        Some(Command::Router {
            action: RouterAction::Restart,
        }) => router_process::restart(&load(file)?.config),
        Some(Command::RouterProcess) => router_process::serve(),
    }
}

fn settings_text(loaded: &Loaded) -> String {
    let mut text = String::new();
    for setting in &loaded.settings {
        let secret = setting.name == "database_url" && !setting.value.is_empty();
        let value = match (secret, setting.value.as_str()) {
            (true, _) => "(set; not shown)",
            (false, "") => "(none)",
            (false, value) => value,
        };
        text.push_str(&format!("{:<32} {value:<40} {}\n", setting.name, setting.origin));
    }
    text.push_str(&format!(
        "\nThe configuration is valid. API: {}\n",
        loaded.config.api_public_url
    ));
    text
}
