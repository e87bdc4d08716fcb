//! What a commit would be built into. The API never builds; whoever decides how builds go can be asked.

use async_trait::async_trait;
use windlass_domain::{AppId, BuildSettings, CommitSha, Failure, ProcessSpec};

/// What can be said of a build before it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreseen {
    /// The image would have these process types.
    Processes(Vec<ProcessSpec>),
    /// The commit cannot be built as it stands.
    Refused(Failure),
    /// The commit is not here, or it takes more than a look to know.
    Unknown,
}

/// Looks at a commit as a build would. It must answer within seconds, and must fetch, build and record nothing.
#[async_trait]
pub trait BuildOutlook: Send + Sync {
    /// What a commit of the app's repository would be built into.
    async fn foresee(&self, app: AppId, commit: &CommitSha, settings: &BuildSettings) -> Foreseen;
}

/// For an API without anybody to ask.
pub(crate) struct NoOutlook;

#[async_trait]
impl BuildOutlook for NoOutlook {
    async fn foresee(&self, _: AppId, _: &CommitSha, _: &BuildSettings) -> Foreseen {
        Foreseen::Unknown
    }
}
