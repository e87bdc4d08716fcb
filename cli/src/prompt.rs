//! Questions, asked on a terminal only.

use std::io::Read;

use dialoguer::{Confirm, Input, Password};

use crate::{context::Context, error::CliError};

/// The largest secret or file that is read from stdin.
const MAX_STDIN_BYTES: u64 = 1 << 20;

/// Asks for a secret without showing it.
pub fn secret(context: &Context<'_>, question: &str, otherwise: &str) -> Result<String, CliError> {
    if !context.out.interactive {
        return Err(CliError::usage(format!("{question} is needed, and nobody can be asked")).next(otherwise));
    }
    let answer = Password::new().with_prompt(question).interact().map_err(asking)?;
    Ok(answer.trim().to_owned())
}

/// Asks for a text.
pub fn text(context: &Context<'_>, question: &str, otherwise: &str) -> Result<String, CliError> {
    if !context.out.interactive {
        return Err(CliError::usage(format!("{question} is needed, and nobody can be asked")).next(otherwise));
    }
    Input::new().with_prompt(question).interact_text().map_err(asking)
}

/// Asks for a yes. `--yes` is one; without a terminal it is an error.
pub fn confirm(context: &Context<'_>, question: &str) -> Result<(), CliError> {
    if context.global.yes {
        return Ok(());
    }
    if !context.out.interactive {
        return Err(CliError::usage(format!("{question} A confirmation is needed")).next("add --yes"));
    }
    match Confirm::new()
        .with_prompt(question)
        .default(false)
        .interact()
        .map_err(asking)?
    {
        true => Ok(()),
        false => Err(CliError::failure("nothing was changed")),
    }
}

/// Reads stdin to its end.
pub fn stdin() -> Result<String, CliError> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(MAX_STDIN_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| CliError::failure(format!("cannot read stdin: {error}")))?;
    Ok(text)
}

/// Reads a secret from stdin: its first line.
pub fn stdin_secret(what: &str) -> Result<String, CliError> {
    let text = stdin()?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Err(CliError::usage(format!("stdin holds no {what}")));
    }
    Ok(line.to_owned())
}

fn asking(error: dialoguer::Error) -> CliError {
    CliError::failure(format!("the question could not be asked: {error}"))
}
