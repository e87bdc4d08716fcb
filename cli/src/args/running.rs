//! `windlass config …`, `windlass logs` and `windlass ps …`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use windlass_domain::{ConfigKey, ProcessType};

use crate::scale::ScaleChange;

/// What to do with config vars.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show all config vars
    List,
    /// Print the value of one config var
    Get {
        /// Its name
        key: ConfigKey,
    },
    /// Set config vars and deploy the change
    #[command(after_help = "\
Examples:
  windlass config set LOG_LEVEL=info CACHE=on
  windlass config set --file .env
  pass show shop | windlass config set -
  windlass config set --file .env --dry-run    which would change, without a value shown

What comes from stdin or a file stays out of the shell's history.")]
    Set(SetConfig),
    /// Remove config vars and deploy the change
    Unset {
        /// Their names
        #[arg(required = true)]
        keys: Vec<ConfigKey>,
        /// Do not wait for the deployment
        #[arg(long)]
        detach: bool,
        /// Change nothing: show which would be removed, and what the deployment would do
        #[arg(long, conflicts_with = "detach")]
        dry_run: bool,
    },
}

/// `windlass config set`
#[derive(Debug, Args)]
pub struct SetConfig {
    /// What to set; `-` reads KEY=value lines from stdin
    #[arg(value_name = "KEY=VALUE", required_unless_present = "file")]
    pub vars: Vec<String>,
    /// Read KEY=value lines from this file; nothing in it is expanded
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Do not wait for the deployment
    #[arg(long)]
    pub detach: bool,
    /// Change nothing: show which would change, without their values, and what the deployment would do
    #[arg(long, conflicts_with = "detach")]
    pub dry_run: bool,
}

/// `windlass logs`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  windlass logs -t\n  windlass logs -n 500 -p worker\n  windlass logs --json -t | jq .text"
)]
pub struct Logs {
    /// Go on with new lines as they come
    #[arg(short = 't', long = "tail", visible_alias = "follow", visible_short_alias = 'f')]
    pub tail: bool,
    /// How many lines of the past
    #[arg(short = 'n', long = "lines", visible_alias = "num", default_value_t = 100, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub lines: u32,
    /// Only this process type
    #[arg(short = 'p', long = "process", value_name = "TYPE")]
    pub process: Option<ProcessType>,
}

/// Which instances to list.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct ShownInstances {
    /// Also those that have ended and that nobody misses: the last 20 of the last hour, of whichever release
    #[arg(long)]
    pub all: bool,
}

/// What to do with instances.
#[derive(Debug, Subcommand)]
pub enum PsCommand {
    /// List the instances
    List(ShownInstances),
    /// Set how many instances of a process type run; without arguments, show it
    #[command(
        after_help = "Examples:\n  windlass ps scale web=2 worker=1\n  windlass ps scale web+1\n  windlass ps scale worker=0 --dry-run    shows what would change\n  windlass ps scale                       prints a line to paste back"
    )]
    Scale {
        /// `web=2`, `web+1` or `web-1`
        #[arg(value_name = "TYPE=NUMBER")]
        changes: Vec<ScaleChange>,
        /// Do not wait until the instances are as wanted
        #[arg(long)]
        detach: bool,
        /// Change nothing: show how many instances there would be
        #[arg(long, conflicts_with = "detach", requires = "changes")]
        dry_run: bool,
    },
    /// Replace instances by new ones of the same release
    Restart {
        /// Only this process type
        process: Option<ProcessType>,
        /// Do not wait until the new instances are healthy
        #[arg(long)]
        detach: bool,
    },
}
