//! Fetching a revision from the repository that an app names, into the app's own repository.
//!
//! Only what is needed travels: the one commit with its tree (depth 1), minus what earlier fetches brought. The address is
//! checked and pinned first ([`crate::address`]); size and time are bounded; whatever happens is told as a [`FetchError`].

mod complaint;
mod error;
mod plan;
mod remote;
mod ssh;
mod transfer;

use std::{fmt, sync::Arc};

use tokio::time::Instant;
use windlass_domain::{AppId, CommitSha, GitRef, RepoUrl, Secret};

pub use error::FetchError;
pub(crate) use plan::Attempt;
use remote::Remote;
pub(crate) use transfer::{clear_leftovers, remove_if_there};

use crate::{
    git::{SourceError, blocking},
    repositories::Repositories,
};

/// Takes the lines by which git tells how far it got, without its complaints. Called from an async thread: it must not block.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// What to fetch, and from where.
#[derive(Clone)]
pub struct FetchRequest {
    /// Into whose repository.
    pub app: AppId,
    /// From where.
    pub url: RepoUrl,
    /// The branch, tag or commit id. A branch wins over a tag of the same name; a full commit id wins over both.
    pub reference: GitRef,
    /// The commit that is expected there, if it is known, as from a webhook: it is fetched even if the branch has moved on.
    pub commit: Option<CommitSha>,
    /// An OpenSSH private key, for `ssh:` addresses.
    pub deploy_key: Option<Secret<String>>,
    /// Where git's progress goes.
    pub progress: Progress,
}

impl fmt::Debug for FetchRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FetchRequest({} {} of {})", self.app, self.reference, self.url)
    }
}

impl Repositories {
    /// Brings a revision into the app's repository and says which commit it is. A commit that is already there and kept costs
    /// no connection.
    ///
    /// The commit stays reachable until the next fetch; [`Repositories::keep`] keeps it longer.
    pub async fn fetch(&self, request: FetchRequest) -> Result<CommitSha, FetchError> {
        let attempts = plan::attempts(&request.reference, request.commit.as_ref());
        self.fetch_first(&request, &attempts, plan::FETCHED).await
    }

    /// Tries the attempts in turn until one finds something, which `destination` then points to. Forges redirect an address
    /// without `.git`; redirects are not followed, so that one is tried with it.
    pub(crate) async fn fetch_first(
        &self,
        request: &FetchRequest,
        attempts: &[Attempt],
        destination: &str,
    ) -> Result<CommitSha, FetchError> {
        let result = self.fetch_from(request, attempts, destination).await;
        match (&result, with_suffix(&request.url)) {
            (Err(FetchError::Redirected { .. }), Some(url)) => {
                let request = FetchRequest { url, ..request.clone() };
                self.fetch_from(&request, attempts, destination).await
            }
            _ => result,
        }
    }

    async fn fetch_from(
        &self,
        request: &FetchRequest,
        attempts: &[Attempt],
        destination: &str,
    ) -> Result<CommitSha, FetchError> {
        self.ensure(request.app).await?;
        let turn = self.turn(request.app).await;
        if let Some(Attempt::Object(commit)) = attempts.first()
            && self.is_kept(request.app, commit).await?
        {
            return Ok(commit.clone());
        }
        self.clear_locks(request.app).await?;
        let deadline = Instant::now() + self.config.fetch.timeout;
        let endpoint = self.config.fetch.locate(&request.url).await?;
        let remote = Remote::new(self, request, endpoint, turn)?;
        for attempt in attempts {
            if remote.fetch(attempt, destination, deadline).await?
                && let Some(commit) = self.fetched(request.app, attempt, destination).await?
            {
                return Ok(commit);
            }
        }
        Err(FetchError::RefNotFound {
            reference: request
                .commit
                .as_ref()
                .map_or(request.reference.as_str(), CommitSha::as_str)
                .to_owned(),
            host: request.url.host().to_owned(),
        })
    }

    /// Whether a commit is in the repository with all that it needs: only what a ref points to is known to be whole.
    async fn is_kept(&self, app: AppId, commit: &CommitSha) -> Result<bool, SourceError> {
        let (repositories, commit) = (self.clone(), commit.clone());
        blocking(move || {
            let repository = repositories.open(app)?;
            let Ok(wanted) = git2::Oid::from_str(commit.as_str()) else {
                return Ok(false);
            };
            let kept = repository
                .references_glob("refs/windlass/*")?
                .flatten()
                .any(|reference| reference.target() == Some(wanted));
            Ok(kept)
        })
        .await
    }

    /// What an attempt that succeeded has brought.
    async fn fetched(
        &self,
        app: AppId,
        attempt: &Attempt,
        destination: &str,
    ) -> Result<Option<CommitSha>, SourceError> {
        let (repositories, attempt, destination) = (self.clone(), attempt.clone(), destination.to_owned());
        blocking(move || Ok(attempt.found_in(&repositories.open(app)?, &destination))).await
    }
}

/// The address with `.git` at its end, if it had none.
fn with_suffix(url: &RepoUrl) -> Option<RepoUrl> {
    let text = url.url().as_str().trim_end_matches('/');
    (!text.ends_with(".git"))
        .then(|| format!("{text}.git").parse().ok())
        .flatten()
}
