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
        command: Some(ProcessCommand::Shell(command)),
    });
    Ok(Some(specs.collect()))
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
