//! Everything that is shown: data on stdout, messages, progress and errors on stderr. Text of the server is made harmless first.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use anstream::ColorChoice;
use indicatif::{ProgressBar, ProgressStyle};
use owo_colors::OwoColorize;
use serde_json::Value;

use crate::{
    args::{Global, When},
    error::CliError,
    exit::Exit,
};

/// The longest line that is shown, in characters.
const MAX_LINE_CHARS: usize = 16_384;

/// Where and how to write.
#[derive(Debug, Clone)]
pub struct Output {
    /// JSON instead of text.
    pub json: bool,
    /// Somebody is there to answer questions.
    pub interactive: bool,
    /// Stdout is a terminal.
    pub terminal: bool,
    progress: bool,
}

impl Output {
    /// Looks at the terminal once and takes the flags into account.
    pub fn new(global: &Global) -> Self {
        match global.color {
            When::Auto => ColorChoice::Auto,
            When::Always => ColorChoice::Always,
            When::Never => ColorChoice::Never,
        }
        .write_global();
        let stderr_is_terminal = io::stderr().is_terminal();
        Self {
            json: global.json,
            interactive: !global.no_input && io::stdin().is_terminal() && stderr_is_terminal,
            terminal: io::stdout().is_terminal(),
            progress: stderr_is_terminal && !global.json,
        }
    }

    /// A line of data.
    pub fn data(&self, line: &str) -> Result<(), CliError> {
        let mut stdout = anstream::stdout().lock();
        writeln!(stdout, "{line}")
            .and_then(|()| stdout.flush())
            .map_err(write_failed)
    }

    /// A value that scripts want byte for byte; a terminal gets it without what it would obey.
    pub fn exact(&self, text: &str) -> Result<(), CliError> {
        if self.terminal {
            return text.split('\n').try_for_each(|line| self.data(&coloured(line)));
        }
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}")
            .and_then(|()| stdout.flush())
            .map_err(write_failed)
    }

    /// A JSON document: indented on a terminal, on one line otherwise.
    pub fn json(&self, value: &Value) -> Result<(), CliError> {
        let text = if self.terminal {
            format!("{value:#}")
        } else {
            value.to_string()
        };
        self.data(&text)
    }

    /// A JSON document of a stream, on one line always.
    pub fn json_line(&self, value: &Value) -> Result<(), CliError> {
        self.data(&value.to_string())
    }

    /// A message. In JSON mode stderr is kept for the problem alone.
    pub fn note(&self, text: &str) {
        if !self.json {
            stderr_line(text);
        }
    }

    /// What was done.
    pub fn done(&self, text: &str) {
        self.note(&format!("{} {text}", "✓".green()));
    }

    /// A warning.
    pub fn warn(&self, text: &str) {
        self.note(&format!("{} {text}", "Warning:".yellow().bold()));
    }

    /// The command that most people want next.
    pub fn next(&self, command: &str) {
        self.note(&format!("{} {command}", "Next:".dimmed()));
    }

    /// The error that ends the command.
    pub fn error(&self, error: &CliError) {
        if error.silent {
            return;
        }
        if self.json {
            stderr_line(&error.to_json().to_string());
            return;
        }
        let (message, fields) = error.in_words();
        if error.exit == Exit::Interrupted {
            stderr_line(&format!("\n{}", harmless(&message)));
        } else {
            stderr_line(&format!("{} {}", "Error:".red().bold(), harmless(&message)));
        }
        for field in &fields {
            stderr_line(&format!("  {}", harmless(field)));
        }
        if let Some(step) = &error.next_step {
            stderr_line(&format!("{} {}", "Next:".dimmed(), harmless(step)));
        }
    }

    /// Shows that something goes on, until the answer is dropped. Nothing unless stderr is a terminal.
    pub fn spinner(&self, message: &str) -> Spinner {
        let bar = self.progress.then(|| {
            let bar = ProgressBar::new_spinner().with_message(message.to_owned());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(80));
            bar
        });
        Spinner(bar)
    }
}

/// A spinner that vanishes when dropped.
pub struct Spinner(Option<ProgressBar>);

impl Spinner {
    /// Shows another message.
    pub fn say(&self, message: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(message.to_owned());
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn write_failed(error: io::Error) -> CliError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::closed_pipe(),
        _ => CliError::failure(format!("cannot write the output: {error}")),
    }
}

/// A closed stderr can be told to nobody.
fn stderr_line(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// A line of the server without anything that a terminal would obey, except colours.
pub fn coloured(text: &str) -> String {
    let line = windlass_domain::log::clean_line(text, MAX_LINE_CHARS);
    // Colours must not run on into what we write next.
    if line.contains('\u{1b}') {
        line + "\u{1b}[0m"
    } else {
        line
    }
}

/// Text of the server without anything that a terminal would obey, on one line.
pub fn harmless(text: &str) -> String {
    let one_line = text.replace(['\n', '\r', '\t'], " ");
    let line = windlass_domain::log::clean_line(&one_line, MAX_LINE_CHARS);
    anstream::adapter::strip_str(&line).to_string()
}

/// A line of a deployment's log: headings bold, errors red.
pub fn log_line(text: &str) -> String {
    let line = coloured(text);
    if line.starts_with("----->") || line.starts_with("=====>") {
        line.bold().to_string()
    } else if line.starts_with(" ! ") {
        line.red().to_string()
    } else {
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_gone() {
        assert_eq!(harmless("a\u{1b}[2J\u{1b}[31mb\u{1b}[0m\nc\u{7}"), "ab c");
        assert_eq!(coloured("\u{1b}[31mred\u{1b}]0;title\u{7}"), "\u{1b}[31mred\u{1b}[0m");
        assert_eq!(coloured("plain"), "plain");
    }

    #[test]
    fn headings_and_errors_stand_out() {
        assert_eq!(log_line("-----> Building"), "\u{1b}[1m-----> Building\u{1b}[0m");
        assert_eq!(log_line(" !     broken"), "\u{1b}[31m !     broken\u{1b}[39m");
        assert_eq!(log_line("       step"), "       step");
    }
}
