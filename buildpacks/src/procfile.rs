//! The Procfile of a tree as process specifications.

use windlass_domain::{ProcessSpec, ProcessType, Procfile, release::ProcessCommand};

use crate::{InvalidFile, PlanError, Tree, plan::argv};

/// Where the Procfile is.
pub const PROCFILE: &str = "Procfile";

/// The process types of the tree's Procfile; none if there is no Procfile. A Procfile without any process is an error.
pub fn processes_of(tree: &Tree<'_>) -> Result<Option<Vec<ProcessSpec>>, PlanError> {
    let Some(text) = tree.text(PROCFILE)? else {
        return Ok(None);
    };
    let next_step = "correct the Procfile: one `name: command` a line, such as `web: ./start`";
    let procfile = Procfile::parse(&text)
        .map_err(|error| InvalidFile::new(PROCFILE, Some(error.line), error.problem, next_step))?;
    if procfile.processes.is_empty() {
        return Err(InvalidFile::new(PROCFILE, None, "has no process in it", next_step).into());
    }
    let specs = procfile.processes.into_iter().map(|(process, command)| ProcessSpec {
        process,
        command: Some(ProcessCommand::Shell(with_exec(command))),
    });
    Ok(Some(specs.collect()))
}

/// Words at the beginning of a line that only the shell itself understands.
const SHELL_WORDS: [&str; 32] = [
    ".", ":", "!", "{", "[[", "alias", "case", "cd", "command", "eval", "exec", "exit", "export", "for", "function",
    "getopts", "if", "local", "read", "readonly", "return", "set", "shift", "source", "time", "times", "trap", "type",
    "ulimit", "umask", "unset", "until",
];

/// A line that is one plain command is run *in place of* its shell: Debian's `sh` would stay in front of it as the container's first
/// process, and the signal that asks the app to finish would never reach it.
fn with_exec(line: String) -> String {
    let first = line.split_whitespace().next().unwrap_or_default();
    let is_plain_name = first
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '-' | '_' | '+' | ':' | '@'));
    let is_list = line.contains([';', '|', '&', '<', '>', '(', ')', '\n', '`']);
    let is_shell_word = SHELL_WORDS.contains(&first) || matches!(first, "wait" | "while");
    if is_plain_name && !is_list && !is_shell_word {
        format!("exec {line}")
    } else {
        line
    }
}

/// The processes of an app whose Procfile says `declared` and whose framework would start `web` by itself. A Procfile that
/// names running processes is taken at its word; one with a `release` process alone still gets its `web`.
pub fn with_default_web(declared: Option<Vec<ProcessSpec>>, web: Option<ProcessSpec>) -> Vec<ProcessSpec> {
    let mut processes = declared.unwrap_or_default();
    if processes.iter().all(|spec| spec.process.is_release()) {
        processes.extend(web);
    }
    processes
}

/// `web`, started by this argument vector.
pub(crate) fn web(arguments: &[&str]) -> ProcessSpec {
    ProcessSpec {
        process: ProcessType::web(),
        command: Some(ProcessCommand::Exec(argv(arguments))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::tree;

    #[test]
    fn a_bad_line_is_named() {
        let source = tree(&[("Procfile", "web: x\noops\n")]);
        let error = processes_of(&Tree::new(&source, "").unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Procfile line 2: expected `name: command`, such as `web: node server.js`"
        );
    }

    #[test]
    fn plain_commands_replace_their_shell() {
        for (line, expected) in [
            ("./serve --port $PORT", "exec ./serve --port $PORT"),
            ("gunicorn 'my app:app'", "exec gunicorn 'my app:app'"),
            ("exec ./serve", "exec ./serve"),
            ("cd web", "cd web"),
            ("./migrate && ./serve", "./migrate && ./serve"),
            ("MODE=fast ./serve", "MODE=fast ./serve"),
            ("\"$HOME/serve\"", "\"$HOME/serve\""),
            ("$SERVE", "$SERVE"),
            ("./serve > log", "./serve > log"),
        ] {
            assert_eq!(with_exec(line.to_owned()), expected);
        }
    }

    #[test]
    fn a_release_process_alone_keeps_the_default_web() {
        let source = tree(&[("Procfile", "release: ./migrate\n")]);
        let declared = processes_of(&Tree::new(&source, "").unwrap()).unwrap();
        let names: Vec<_> = with_default_web(declared, Some(web(&["x"])))
            .into_iter()
            .map(|spec| spec.process.to_string())
            .collect();
        assert_eq!(names, ["release", "web"]);
    }

    #[test]
    fn a_procfile_of_workers_gets_no_web() {
        let source = tree(&[("Procfile", "worker: ./work\n")]);
        let declared = processes_of(&Tree::new(&source, "").unwrap()).unwrap();
        assert_eq!(with_default_web(declared, Some(web(&["x"]))).len(), 1);
    }
}
