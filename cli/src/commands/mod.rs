//! The commands: one file per noun. Each reads its arguments, makes its calls, and shows what came of it.

mod account;
mod apps;
mod config;
mod contexts;
mod deploy;
mod deployments;
mod destroy;
mod logs;
mod plan;
mod program;
mod ps;
mod push;
mod releases;
mod remote;
mod settle;
mod status;
mod tokens;
mod webhook;

use crate::{
    args::{Command, DeploymentsCommand, GitCommand, ReleasesCommand},
    context::Context,
    credential,
    error::CliError,
    exit,
};

/// Runs a command.
pub async fn dispatch(command: Command, context: &Context<'_>) -> Result<(), CliError> {
    match command {
        Command::Login(login) => account::login(context, &login).await,
        Command::Logout => account::logout(context),
        Command::Whoami => account::whoami(context).await,
        Command::Context { command } => contexts::run(context, command),
        Command::Apps { command } => apps::run(context, command).await,
        Command::Deploy(deploy) => deploy::run(context, &deploy).await,
        Command::Plan(plan) => plan::run(context, &plan).await,
        Command::Deployments { limit, command } => {
            let command = or_list(command, limit, |limit| DeploymentsCommand::List { limit })?;
            deployments::run(context, command).await
        }
        Command::Config { command } => config::run(context, command).await,
        Command::Logs(logs) => logs::run(context, &logs).await,
        Command::Ps { shown, command } => ps::run(context, shown, command).await,
        Command::Releases {
            limit: None,
            command: Some(ReleasesCommand::Rollback { version, detach }),
        }
        | Command::Rollback { version, detach } => releases::rollback(context, version, detach).await,
        Command::Releases { limit, command } => {
            let command = or_list(command, limit, |limit| ReleasesCommand::List { limit })?;
            releases::run(context, command).await
        }
        Command::Open => status::open(context).await,
        Command::Status => status::run(context).await,
        Command::Webhook { command } => webhook::run(context, command).await,
        Command::Tokens { command } => tokens::run(context, command).await,
        Command::Git {
            command: GitCommand::Remote { remote },
        } => remote::run(context, remote.as_str()).await,
        Command::Completion { shell } => program::completion(context.out, shell),
        Command::Man { directory } => program::man(context.out, directory.as_deref()),
        Command::ExitCodes => context.out.data(exit::HELP.trim_end()),
        Command::GitCredential { operation } => credential::serve(context, &operation),
    }
}

/// A bare noun lists; `limit` is the `-n` that was given to it.
fn or_list<C>(command: Option<C>, limit: Option<usize>, list: impl FnOnce(usize) -> C) -> Result<C, CliError> {
    match (command, limit) {
        (None, limit) => Ok(list(limit.unwrap_or(20))),
        (Some(command), None) => Ok(command),
        (Some(_), Some(_)) => Err(
            CliError::usage("`-n` stands before a subcommand, where it does nothing")
                .next("write `-n NUMBER` behind `list`, or leave the subcommand out"),
        ),
    }
}
