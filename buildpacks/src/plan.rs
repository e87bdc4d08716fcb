//! The plan of a build, as data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_domain::ProcessSpec;

/// How an image is made: everything that the generated Dockerfile says, and what starts in the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildPlan {
    /// The buildpack that made the plan.
    pub buildpack: String,
    /// What was decided and why, a sentence each, for the log.
    pub decisions: Vec<String>,
    /// The image it starts from.
    pub base_image: String,
    /// Debian packages that are installed first.
    pub packages: Vec<String>,
    /// Build args that the steps may read.
    pub args: Vec<String>,
    /// The directory of the app in the image.
    pub workdir: String,
    /// Who runs the app.
    pub user: RunUser,
    /// Variables of the steps that follow and of the running app.
    pub environment: BTreeMap<String, String>,
    /// Files that the plan itself brings along.
    pub files: Vec<PlanFile>,
    /// Patterns, as in `.dockerignore`, of files of the revision that are left out.
    pub ignore: Vec<String>,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// Variables of the running app only.
    pub run_environment: BTreeMap<String, String>,
    /// The process types and how they are started; `web` is among them unless the Procfile leaves it out.
    pub processes: Vec<ProcessSpec>,
    /// The signal that asks the app to finish; none: SIGTERM.
    pub stop_signal: Option<String>,
}

/// The user that the app runs as: never root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunUser {
    /// User and group id.
    pub id: u32,
    /// The name under which it is added to the image; none if the base image has it already.
    pub add_as: Option<String>,
}

/// A file that the plan brings along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// Its name in the plan's own folder of the context.
    pub name: String,
    /// Where it goes in the image, absolute.
    pub target: String,
    /// Its text.
    pub content: String,
}

/// One step: first what it copies, then what it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What it is for.
    pub purpose: String,
    /// Files and directories of the context, relative, that are copied to the same place below the work directory. A step that
    /// needs only some files is cached until one of these changes.
    pub copy: Vec<String>,
    /// Argument vectors; no shell is involved unless the vector itself names one.
    pub run: Vec<Vec<String>>,
    /// Directories that outlive the build and are shared by the builds of one app.
    pub caches: Vec<CacheMount>,
    /// Whether it runs as root, to install tools; otherwise it runs as the app's user, who then owns what it makes.
    pub as_root: bool,
}

/// A cache directory of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheMount {
    /// Its name within the app.
    pub id: String,
    /// Where it is mounted, absolute.
    pub target: String,
}

impl Step {
    /// A step without copies, commands and caches.
    pub(crate) fn new(purpose: &str) -> Self {
        Self {
            purpose: purpose.to_owned(),
            ..Self::default()
        }
    }

    /// Copies these paths first.
    pub(crate) fn copying<'a>(mut self, paths: impl IntoIterator<Item = &'a str>) -> Self {
        self.copy.extend(paths.into_iter().map(str::to_owned));
        self
    }

    /// Then runs this.
    pub(crate) fn running(mut self, arguments: &[&str]) -> Self {
        self.run.push(argv(arguments));
        self
    }

    /// As root.
    pub(crate) fn run_by_root(mut self) -> Self {
        self.as_root = true;
        self
    }

    /// With this cache directory.
    pub(crate) fn cached(mut self, id: &str, target: &str) -> Self {
        self.caches.push(CacheMount {
            id: id.to_owned(),
            target: target.to_owned(),
        });
        self
    }
}

impl RunUser {
    /// The user of an app on an image that has no user for it.
    pub(crate) fn added() -> Self {
        Self {
            id: 1000,
            add_as: Some("app".to_owned()),
        }
    }
}

/// An argument vector of its parts.
pub(crate) fn argv(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|&argument| argument.to_owned()).collect()
}

/// A map of its pairs.
pub(crate) fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
