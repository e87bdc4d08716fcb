//! The command line's grammar. Its help texts are the source of `docs/reference/cli.md` and of the man pages.

pub mod access;
pub mod apps;
pub mod deployments;
pub mod running;
pub(crate) mod values;

use clap::{Args, Parser, Subcommand, ValueEnum};
use windlass_domain::AppName;

pub use access::{ContextCommand, GitCommand, Login, TokensCommand, WebhookCommand};
pub use apps::{AppsCommand, BuildFlags, CreateApp, DestroyApp, Setting, UpdateApp};
pub use deployments::{Deploy, DeploymentsCommand, Plan, ReleasesCommand};
pub use running::{ConfigCommand, Logs, PsCommand, SetConfig, ShownInstances};

const EXAMPLES: &str = "\
Examples:
  windlass login https://windlass.example.com
  windlass apps create shop      create an app and add the git remote `windlass`
  git push windlass main         deploy it
  windlass logs -t               follow its log
  windlass config set KEY=value  set a config var, and deploy the change
  windlass ps scale web=3        run three instances of `web`
  windlass plan                  what would deploying change?
  windlass rollback              go back to the release before

`noun:verb` works too: `windlass config:set KEY=value`.
Exit codes: `windlass help exit-codes`.";

/// Deploy and run your apps on a Windlass server.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes, before or after its name.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The app [env: WINDLASS_APP; otherwise the git remote `windlass` of this directory]
    #[arg(short = 'a', long, global = true, value_name = "NAME")]
    pub app: Option<AppName>,
    /// The server's address [env: WINDLASS_URL; otherwise the context of the last login]
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Print JSON: arrays for lists, one document per line for streams, and problems as JSON on stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Never ask; fail where an answer would be needed
    #[arg(long, global = true)]
    pub no_input: bool,
    /// Answer yes to every confirmation
    #[arg(short = 'y', long, global = true)]
    pub yes: bool,
    /// When to use colours; NO_COLOR is honoured
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: When,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Log in to a server with an API token, or with the setup token of a new server
    Login(Login),
    /// Forget the token of the current server on this machine
    Logout,
    /// Show which server, team and token are in use
    Whoami,
    /// List the servers that you logged in to, or switch between them
    Context {
        /// What to do; without it, list.
        #[command(subcommand)]
        command: Option<ContextCommand>,
    },
    /// List, create, show, change and destroy apps
    Apps {
        /// What to do; without it, list.
        #[command(subcommand)]
        command: Option<AppsCommand>,
    },
    /// Deploy this directory's commit, a ref of the app's repository, or another repository
    Deploy(Deploy),
    /// Show what a deployment would change, without making it
    Plan(Plan),
    /// List, show, follow and cancel deployments
    Deployments {
        /// How many to list [default: 20]
        #[arg(short = 'n', long, value_name = "NUMBER")]
        limit: Option<usize>,
        /// What to do; without it, list.
        #[command(subcommand)]
        command: Option<DeploymentsCommand>,
    },
    /// Show, set and unset config vars
    Config {
        /// What to do; without it, show all.
        #[command(subcommand)]
        command: Option<ConfigCommand>,
    },
    /// Show or follow the app's log
    Logs(Logs),
    /// List, scale and restart the app's instances
    Ps {
        /// Which ones to list.
        #[command(flatten)]
        shown: ShownInstances,
        /// What to do; without it, list.
        #[command(subcommand)]
        command: Option<PsCommand>,
    },
    /// List and show releases
    Releases {
        /// How many to list [default: 20]
        #[arg(short = 'n', long, value_name = "NUMBER")]
        limit: Option<usize>,
        /// What to do; without it, list.
        #[command(subcommand)]
        command: Option<ReleasesCommand>,
    },
    /// Go back to an earlier release, as a new release
    Rollback {
        /// The release to go back to; without it, the one before the live one
        #[arg(value_name = "VERSION")]
        version: Option<windlass_domain::ReleaseVersion>,
        /// Do not wait for the deployment
        #[arg(long)]
        detach: bool,
    },
    /// Open the app in a browser
    Open,
    /// Show the app, its newest deployment and its instances at a glance
    Status,
    /// Show or change the webhook that deploys pushes to a forge
    Webhook {
        /// What to do; without it, show address and secret.
        #[command(subcommand)]
        command: Option<WebhookCommand>,
    },
    /// List, create and revoke API tokens
    Tokens {
        /// What to do; without it, list.
        #[command(subcommand)]
        command: Option<TokensCommand>,
    },
    /// Set up this directory's git repository for an app
    Git {
        /// What to do.
        #[command(subcommand)]
        command: GitCommand,
    },
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  windlass completion bash > ~/.local/share/bash-completion/completions/windlass"
    )]
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Write the man pages into a directory, or print the main one
    Man {
        /// Where to write a page per command
        directory: Option<std::path::PathBuf>,
    },
    /// Show the exit codes
    #[command(hide = true, long_about = crate::exit::HELP, help_template = "{about}")]
    ExitCodes,
    /// git's credential helper protocol
    #[command(hide = true)]
    GitCredential {
        /// `get`, `store` or `erase`.
        operation: String,
    },
}

/// A shell that completion scripts are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
    /// PowerShell.
    #[value(name = "powershell")]
    PowerShell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        let mut command = Cli::command();
        command.build();
        command.debug_assert();
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for line in [["windlass", "-a", "shop", "ps"], ["windlass", "ps", "-a", "shop"]] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.global.app.unwrap().as_str(), "shop");
        }
    }

    #[test]
    fn a_typing_mistake_gets_a_suggestion() {
        let error = Cli::try_parse_from(["windlass", "relaeses"]).unwrap_err();
        assert!(error.to_string().contains("releases"), "{error}");
    }
}
