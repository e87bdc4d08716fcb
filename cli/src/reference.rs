//! The reference of the command line in Markdown, made from its grammar, so that it cannot be out of date.

use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};

use crate::{args::Cli, exit};

const INTRODUCTION: &str = "\
# The command line

<!-- Made by `cargo run -p windlass-cli --example cli-reference > docs/reference/cli.md`; a test compares. -->

`windlass` talks to a Windlass server over its public API, and to git repositories through your own `git`.
Data goes to stdout; messages, progress and errors go to stderr. `noun:verb` may be written for `noun verb`.

The app is taken from `-a`, then from `WINDLASS_APP`, then from the git remote `windlass` of the working directory, or from its
only remote that belongs to the server in use. A flag wins over the environment, and the environment over what `windlass login`
has kept.

| environment variable | meaning |
|---|---|
| `WINDLASS_URL` | the server's address |
| `WINDLASS_TOKEN` | the API token |
| `WINDLASS_APP` | the app |
| `NO_COLOR` | no colours, whatever its value |
| `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` | proxies; never used for addresses of this machine |

Servers are kept in `$XDG_CONFIG_HOME/windlass/config.toml`, their tokens in `credentials.toml` beside it, which only its owner
can read. A token is sent to the server that it was filed for and to no other.

With `--json`, lists are arrays, streams are one document per line, names are in snake case, times are RFC 3339 in UTC, and an
error is the API's problem document (RFC 9457) on stderr.
";

/// The whole reference.
pub fn markdown() -> String {
    let mut root = Cli::command();
    root.build();
    let mut text = INTRODUCTION.to_owned();
    let codes = exit::HELP.trim_start_matches("Exit codes").trim_matches('\n');
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "\n## Exit codes\n\n```text\n{codes}\n```\n\n## Global options\n\n"
    );
    for arg in root.get_arguments().filter(|arg| arg.is_global_set()) {
        option(&mut text, arg);
    }
    for command in shown(&root) {
        section(&mut text, command, 2);
    }
    text
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

fn section(text: &mut String, command: &Command, level: usize) {
    let mut command = command.clone();
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").replace("\n       ", "\n");
    let name = command.get_bin_name().unwrap_or_default().to_owned();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = write!(
        text,
        "\n{} `{name}`\n\n{about}.\n\n```text\n{usage}\n```\n",
        "#".repeat(level)
    );
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_global_set() && !matches!(arg.get_id().as_str(), "help" | "version"))
        .collect();
    if !own.is_empty() {
        text.push('\n');
    }
    for arg in own {
        option(text, arg);
    }
    if let Some(examples) = command.get_after_help() {
        let _ = write!(text, "\n```text\n{}\n```\n", examples.to_string().trim_end());
    }
    for subcommand in shown(&command) {
        section(text, subcommand, level + 1);
    }
}

fn option(text: &mut String, arg: &Arg) {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let values: Vec<String> = arg
        .get_possible_values()
        .iter()
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let is_choice = values.len() > 1 && arg.get_action().takes_values();
    let choices = if is_choice {
        format!(" ({})", values.join(", "))
    } else {
        String::new()
    };
    let default: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    let shows_default = !default.is_empty() && arg.get_action().takes_values();
    let default = if shows_default {
        format!(" [default: {}]", default.join(" "))
    } else {
        String::new()
    };
    let _ = writeln!(text, "- `{}`: {help}{choices}{default}", spelling(arg));
}

/// `-n, --lines, --num <NUMBER>`, or `[NAME]` for an argument by position.
fn spelling(arg: &Arg) -> String {
    let values: Vec<String> = arg
        .get_value_names()
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    let value = values.join(" ");
    if arg.is_positional() {
        let dots = if matches!(arg.get_action(), clap::ArgAction::Append) {
            "..."
        } else {
            ""
        };
        return if arg.is_required_set() {
            format!("<{value}>{dots}")
        } else {
            format!("[{value}]{dots}")
        };
    }
    let short = arg
        .get_short_and_visible_aliases()
        .into_iter()
        .flatten()
        .map(|short| format!("-{short}"));
    let long = arg
        .get_long_and_visible_aliases()
        .into_iter()
        .flatten()
        .map(|long| format!("--{long}"));
    let names: Vec<String> = short.chain(long).collect();
    let value = if arg.is_require_equals_set() {
        format!("[=<{value}>]")
    } else if arg.get_action().takes_values() {
        format!(" <{value}>")
    } else {
        String::new()
    };
    format!("{}{value}", names.join(", "))
}
