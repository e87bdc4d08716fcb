//! What a commit would be built into, for the API's plans: the builder's own decision, on the files that are in the app's repository.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use windlass_api::{BuildOutlook, Foreseen};
use windlass_builder::{BaseImages, Plan, PlanFailure};
use windlass_domain::{AppId, BuildSettings, CommitSha, SourceTree};
use windlass_source::{Repositories, TreeError, TreeOptions};

/// Somebody waits for the answer. Most repositories take some milliseconds.
const WITHIN: Duration = Duration::from_secs(10);

/// Looks at commits as the builder does.
pub struct Commits {
    pub repositories: Repositories,
    pub base_images: BaseImages,
}

#[async_trait]
impl BuildOutlook for Commits {
    async fn foresee(&self, app: AppId, commit: &CommitSha, settings: &BuildSettings) -> Foreseen {
        // They would have to be fetched, and may hold what is built.
        if settings.submodules {
            return Foreseen::Unknown;
        }
        let looked = tokio::time::timeout(WITHIN, self.look(app, commit, settings));
        looked.await.unwrap_or(Foreseen::Unknown)
    }
}

impl Commits {
    async fn look(&self, app: AppId, commit: &CommitSha, settings: &BuildSettings) -> Foreseen {
        let tree = match self.repositories.tree(app, commit, TreeOptions::default()).await {
            Ok(tree) => tree,
            Err(TreeError::NoCommit(_) | TreeError::Internal(_)) => return Foreseen::Unknown,
            Err(unusable) => return Foreseen::Refused(unusable.to_failure()),
        };
        let (settings, images) = (settings.clone(), self.base_images.clone());
        let tree: Arc<dyn SourceTree> = Arc::new(tree);
        let decided = tokio::task::spawn_blocking(move || Plan::of(&tree, &settings, &images)).await;
        match decided {
            Ok(Ok(plan)) => Foreseen::Processes(plan.processes().to_vec()),
            Ok(Err(PlanFailure::Refused(failure))) => Foreseen::Refused(failure),
            Ok(Err(PlanFailure::Read(error))) => {
                tracing::warn!(%error, %commit, "a commit cannot be looked through");
                Foreseen::Unknown
            }
            Err(_) => Foreseen::Unknown,
        }
    }
}
