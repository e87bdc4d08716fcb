//! The parts of `package.json` that decide how an app is built and started.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::PACKAGE_JSON;
use crate::{InvalidFile, PlanError, Tree};

/// What is read of the file; everything else is passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PackageJson {
    pub(crate) engines: Engines,
    pub(crate) package_manager: Option<String>,
    pub(crate) main: Option<String>,
    pub(crate) scripts: BTreeMap<String, String>,
    pub(crate) dependencies: BTreeMap<String, String>,
    pub(crate) dev_dependencies: BTreeMap<String, String>,
    pub(crate) optional_dependencies: BTreeMap<String, String>,
    pub(crate) workspaces: Option<serde_json::Value>,
}

/// The versions that the app asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Engines {
    pub(crate) node: Option<String>,
}

impl PackageJson {
    /// Reads the file at the root of the tree.
    pub(crate) fn read(tree: &Tree<'_>) -> Result<Self, PlanError> {
        let text = tree.text(PACKAGE_JSON)?.unwrap_or_default();
        serde_json::from_str(&text).map_err(|error| {
            let problem = error.to_string();
            // The line stands in front already.
            let problem = problem
                .rsplit_once(" at line ")
                .map_or(problem.as_str(), |(problem, _)| problem);
            let next = "correct package.json (`node -p \"require('./package.json')\"` checks it) and push again";
            InvalidFile::new(PACKAGE_JSON, Some(error.line()), problem, next).into()
        })
    }

    /// Whether anything has to be installed.
    pub(crate) fn has_dependencies(&self) -> bool {
        !self.dependencies.is_empty()
            || !self.dev_dependencies.is_empty()
            || !self.optional_dependencies.is_empty()
            || self.workspaces.is_some()
    }

    /// Whether it depends on this package.
    pub(crate) fn uses(&self, name: &str) -> bool {
        self.dependencies.contains_key(name) || self.dev_dependencies.contains_key(name)
    }

    /// Whether there is a script of this name that does something.
    pub(crate) fn has_script(&self, name: &str) -> bool {
        self.scripts.get(name).is_some_and(|script| !script.trim().is_empty())
    }
}
