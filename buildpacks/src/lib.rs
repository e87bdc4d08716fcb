//! From a file tree to a build plan: which language an app is written in, how its image is made and how it is started.
//!
//! Pure: this crate reads a [`Tree`] and returns a [`BuildPlan`], a value that can be printed, compared and kept. It must
//! never know of Tokio, Docker, processes or the network; [`dockerfile`] turns a plan into text, and the builder acts on it.
//!
//! A language is a folder with one type that implements [`Buildpack`], and one line in [`BUILDPACKS`].
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should stop"))]

mod bare;
mod dockerfile;
#[cfg(test)]
mod examples;
mod failure;
mod images;
mod node;
mod plan;
mod procfile;
mod python;
mod static_site;
#[cfg(test)]
mod test_tree;
mod tree;

pub use dockerfile::{CONTEXT_FOLDER, context_files, dockerfile};
pub use failure::{InvalidFile, NoBuildpack, PlanError};
pub use images::BaseImages;
pub use plan::{BuildPlan, CacheMount, PlanFile, RunUser, Step};
pub use procfile::{PROCFILE, processes_of, with_default_web};
pub use tree::Tree;

/// Whether a buildpack can build a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detection {
    /// It can; the file that shows it.
    Fits {
        /// The path that was found.
        because: String,
    },
    /// It cannot; the files that it looked for.
    No {
        /// In words for the user, such as `package.json`.
        looked_for: &'static [&'static str],
    },
}

/// What a plan depends on besides the tree.
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// The images that plans start from.
    pub images: BaseImages,
    /// Names of build args that steps of the build may read. Names that are no variable names are passed over.
    pub args: Vec<String>,
}

/// One language or kind of app.
pub trait Buildpack: Sync {
    /// Its name in plans, logs and documentation, such as `node`.
    fn name(&self) -> &'static str;

    /// Whether it can build this tree. Reads as little as possible.
    fn detect(&self, tree: &Tree<'_>) -> Result<Detection, PlanError>;

    /// How it builds this tree, after [`Buildpack::detect`] said that it can.
    fn plan(&self, tree: &Tree<'_>, options: &PlanOptions) -> Result<BuildPlan, PlanError>;
}

/// All buildpacks; the first that detects the app builds it.
pub const BUILDPACKS: &[&dyn Buildpack] = &[&node::Node, &python::Python, &static_site::StaticSite, &bare::Bare];

/// The plan of the first buildpack that detects the app, or why there is none.
pub fn plan(tree: &Tree<'_>, options: &PlanOptions) -> Result<BuildPlan, PlanError> {
    let mut looked_for = Vec::new();
    for buildpack in BUILDPACKS {
        match buildpack.detect(tree)? {
            Detection::Fits { .. } => return buildpack.plan(tree, options),
            Detection::No { looked_for: files } => looked_for.push((buildpack.name(), files)),
        }
    }
    Err(PlanError::NoBuildpack(NoBuildpack::new(tree, &looked_for)))
}
