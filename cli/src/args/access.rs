//! `windlass login`, `context`, `tokens`, `webhook` and `git`

use clap::{Args, Subcommand};

/// `windlass login`
#[derive(Debug, Args)]
#[command(after_help = "\
Tokens are never given as arguments: they are asked for, or read from stdin
with `-`, or taken from WINDLASS_TOKEN.

Examples:
  windlass login https://windlass.example.com
  echo \"$TOKEN\" | windlass login https://windlass.example.com --token -
  windlass login http://localhost:8000 --setup-token - < setup-token")]
pub struct Login {
    /// The server's address
    pub url: Option<String>,
    /// `-`: read an API token from stdin
    #[arg(long, value_name = "-", value_parser = ["-"], conflicts_with = "setup_token")]
    pub token: Option<String>,
    /// `-`: read the setup token of a new server from stdin, and trade it for an API token
    #[arg(long, value_name = "-", value_parser = ["-"])]
    pub setup_token: Option<String>,
}

/// What to do with contexts.
#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// List the servers that you logged in to
    List,
    /// Make another server the current one
    Use {
        /// Its name, as `windlass context list` shows it
        name: String,
    },
}

/// What to do with API tokens.
#[derive(Debug, Subcommand)]
pub enum TokensCommand {
    /// List the tokens
    List,
    /// Create a token and print it: it is shown this once
    Create {
        /// What it is for, such as `ci`
        name: String,
    },
    /// Revoke a token
    Revoke {
        /// Its id, as `windlass tokens` shows it
        id: String,
    },
}

/// What to do with the webhook.
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Show the address and the secret to give to the forge
    Show,
    /// Set the secret
    #[command(after_help = "Example:\n  openssl rand -hex 32 | windlass webhook set-secret -")]
    SetSecret {
        /// `-`: read it from stdin; without it, it is asked for
        #[arg(value_name = "-", value_parser = ["-"])]
        source: Option<String>,
    },
}

/// What to do with this directory's git repository.
#[derive(Debug, Subcommand)]
pub enum GitCommand {
    /// Add the git remote of an app and let git use your token for it
    #[command(after_help = "Example:\n  windlass git remote -a shop")]
    Remote {
        /// The name of the remote
        #[arg(long, default_value = "windlass", value_name = "NAME")]
        remote: windlass_domain::BranchName,
    },
}
