//! Why there is no plan: what the user's tree lacks or says wrongly, and what to do about it.

use std::{fmt, io};

use windlass_domain::{Failure, FailureCode};

use crate::Tree;

/// Names of a directory that a message lists at most.
const LISTED: usize = 20;

/// Why a tree has no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// No buildpack detects it.
    #[error(transparent)]
    NoBuildpack(NoBuildpack),
    /// A file says something that cannot be used.
    #[error(transparent)]
    Invalid(#[from] InvalidFile),
    /// The tree could not be read: a fault of ours.
    #[error("the files of the revision cannot be read")]
    Read(#[from] io::Error),
}

/// No buildpack detects the app.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("neither a Dockerfile nor a file that shows the kind of the app was found")]
pub struct NoBuildpack {
    /// Each buildpack with what it looks for.
    pub looked_for: Vec<String>,
    /// What is there, at the top of the context.
    pub found: Vec<String>,
}

/// A file that cannot be used as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidFile {
    /// Its path.
    pub path: String,
    /// The line, from 1, if it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub next_step: String,
}

impl NoBuildpack {
    pub(crate) fn new(tree: &Tree<'_>, looked_for: &[(&str, &[&str])]) -> Self {
        let looked_for = looked_for
            .iter()
            .map(|(name, files)| format!("{name}: {}", files.join(", ")))
            .collect();
        Self {
            looked_for,
            found: listed(tree.top_level()),
        }
    }
}

/// The first names, and how many more there are.
fn listed(names: Vec<String>) -> Vec<String> {
    let more = names.len().saturating_sub(LISTED);
    let mut names: Vec<String> = names
        .into_iter()
        .take(LISTED)
        .map(|name| name.escape_debug().to_string())
        .collect();
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names
}

impl InvalidFile {
    /// A file with a problem, and what to do.
    pub fn new(path: &str, line: Option<usize>, problem: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            problem: problem.into(),
            next_step: next_step.into(),
        }
    }
}

impl fmt::Display for InvalidFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{} line {line}: {}", self.path, self.problem),
            None => write!(f, "{}: {}", self.path, self.problem),
        }
    }
}

impl std::error::Error for InvalidFile {}

impl From<NoBuildpack> for Failure {
    fn from(none: NoBuildpack) -> Self {
        let found = match none.found.as_slice() {
            [] => "the directory is empty".to_owned(),
            names => names.join(", "),
        };
        Failure::new(
            FailureCode::NoBuilder,
            none.to_string(),
            "add a Dockerfile, or a Procfile such as `web: ./start`, or one of the files above; \
             if the app is in a subdirectory, set the build context to it",
        )
        .with_evidence(none.looked_for.iter().map(|line| format!("looked for {line}")))
        .with_evidence([format!("found: {found}")])
    }
}

impl From<InvalidFile> for Failure {
    fn from(file: InvalidFile) -> Self {
        Failure::new(FailureCode::InvalidBuildFile, file.to_string(), file.next_step)
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::NoBuildpack(none) => none.into(),
            PlanError::Invalid(file) => file.into(),
            PlanError::Read(error) => Failure::new(
                FailureCode::Internal,
                format!("the files of the revision cannot be read: {error}"),
                "deploy again; if it happens again, look at the log of windlassd",
            ),
        }
    }
}
