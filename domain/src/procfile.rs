//! The Procfile: one `name: command` a line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ProcessType;

/// A parsed Procfile.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Procfile {
    /// The command of each process type, `release` among them.
    pub processes: BTreeMap<ProcessType, String>,
}

/// Why a Procfile cannot be used, with the line where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Procfile line {line}: {problem}")]
pub struct ProcfileError {
    /// Counts from 1.
    pub line: usize,
    /// What is wrong and what is expected.
    pub problem: String,
}

impl Procfile {
    /// Reads a Procfile. Blank lines and comments (`#`) are passed over; anything else that is not `name: command` makes the
    /// whole file invalid, so that a left-over merge conflict cannot silently drop a process.
    pub fn parse(text: &str) -> Result<Self, ProcfileError> {
        let mut processes = BTreeMap::new();
        for (index, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let error = |problem: String| ProcfileError {
                line: index + 1,
                problem,
            };
            let line = raw.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, command) = line
                .split_once(':')
                .ok_or_else(|| error("expected `name: command`, such as `web: node server.js`".to_owned()))?;
            let process: ProcessType = name.trim().parse().map_err(|e| error(format!("{e}")))?;
            let command = command.trim();
            if command.is_empty() || command.contains('\0') {
                return Err(error(format!("`{process}` has no command; write `{process}: command`")));
            }
            if processes.insert(process.clone(), command.to_owned()).is_some() {
                return Err(error(format!("`{process}` stands twice; keep one of the lines")));
            }
        }
        Ok(Self { processes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_commands_are_read() {
        let procfile =
            Procfile::parse("# comment\n\nweb: node server.js --port $PORT\nrelease:  ./migrate\r\n").unwrap();
        let pairs: Vec<_> = procfile
            .processes
            .iter()
            .map(|(name, command)| (name.as_str(), command.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [("release", "./migrate"), ("web", "node server.js --port $PORT")]
        );
    }

    #[test]
    fn a_merge_conflict_is_an_error_with_its_line() {
        let error = Procfile::parse("web: a\n<<<<<<< HEAD\n").unwrap_err();
        assert_eq!(error.line, 2);
    }

    #[test]
    fn a_process_may_stand_only_once() {
        let error = Procfile::parse("web: a\nweb: b\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "Procfile line 2: `web` stands twice; keep one of the lines"
        );
    }
}
