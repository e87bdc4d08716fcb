//! How a revision is built: its own Dockerfile, or the plan of a buildpack.

use std::{io, sync::Arc};

use serde::{Deserialize, Serialize};
use windlass_buildpacks::{BaseImages, BuildPlan, PlanError, PlanOptions, Tree};
use windlass_domain::{BuildSettings, Failure, FailureCode, ProcessSpec, SourceTree, app::Builder as Choice};

use crate::dockerfile;

/// How a revision is built. Serialises to JSON, to be kept with the deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Plan {
    /// By a Dockerfile of the revision.
    Dockerfile(DockerfilePlan),
    /// By a buildpack.
    Buildpack(Box<BuildPlan>),
}

/// A build by the revision's own Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerfilePlan {
    /// The Dockerfile, relative to the context directory.
    pub path: String,
    /// The external frontend that its `# syntax=` line asks for.
    pub syntax: Option<String>,
    /// The process types of the Procfile; `web` without a command stands for the image's own entry point and command.
    pub processes: Vec<ProcessSpec>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanFailure {
    /// The revision cannot be built as it stands; the user is told so.
    #[error("{}", .0.reason)]
    Refused(Failure),
    /// The tree could not be read: a fault of ours.
    #[error("the files of the revision cannot be read")]
    Read(#[source] io::Error),
}

impl PlanFailure {
    /// The failure as the user sees it.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Refused(failure) => failure,
            Self::Read(error) => PlanError::Read(error).into(),
        }
    }
}

impl From<PlanError> for PlanFailure {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Read(error) => Self::Read(error),
            refused => Self::Refused(refused.into()),
        }
    }
}

impl Plan {
    /// How a tree is built, decided by its files and the settings alone. Blocks.
    ///
    /// # Errors
    /// It cannot be built as it stands, or its files cannot be read.
    pub fn of(tree: &Arc<dyn SourceTree>, settings: &BuildSettings, images: &BaseImages) -> Result<Self, PlanFailure> {
        decide(tree, settings, images)
    }

    /// The process types and how they are started.
    pub fn processes(&self) -> &[ProcessSpec] {
        match self {
            Self::Dockerfile(plan) => &plan.processes,
            Self::Buildpack(plan) => &plan.processes,
        }
    }

    /// What was decided and why, a sentence each, for the log.
    pub fn decisions(&self) -> Vec<String> {
        match self {
            Self::Dockerfile(plan) => vec![format!("Dockerfile: {}", plan.path)],
            Self::Buildpack(plan) => plan.decisions.clone(),
        }
    }
}

/// Decides how the tree is built. Blocks.
pub(crate) fn decide(
    tree: &Arc<dyn SourceTree>,
    settings: &BuildSettings,
    images: &BaseImages,
) -> Result<Plan, PlanFailure> {
    let context = settings.context.as_deref().unwrap_or_default();
    let tree = Tree::new(tree.as_ref(), context).map_err(PlanFailure::Read)?;
    if tree.is_empty() {
        return Err(PlanFailure::Refused(nothing_there(settings)));
    }
    let path = settings.dockerfile.as_deref().unwrap_or(dockerfile::DEFAULT_PATH);
    let by_dockerfile = match settings.builder {
        Choice::Dockerfile => true,
        Choice::Buildpack => false,
        // A Dockerfile that was named in the settings is meant, even if it is missing.
        Choice::Auto => settings.dockerfile.is_some() || tree.has(path),
    };
    if by_dockerfile {
        return dockerfile::plan(&tree, path, settings).map(Plan::Dockerfile);
    }
    let args = settings.args.keys().chain(&settings.config_args).cloned().collect();
    let options = PlanOptions {
        images: images.clone(),
        args,
    };
    Ok(Plan::Buildpack(Box::new(windlass_buildpacks::plan(&tree, &options)?)))
}

fn nothing_there(settings: &BuildSettings) -> Failure {
    match settings.context.as_deref() {
        Some(context) => Failure::new(
            FailureCode::NoBuilder,
            format!("the build context `{context}` does not exist in this revision"),
            "set the build context to a directory of the repository that holds the app",
        ),
        None => Failure::new(
            FailureCode::NoBuilder,
            "the revision has no files",
            "commit the app's files and push again",
        ),
    }
}
