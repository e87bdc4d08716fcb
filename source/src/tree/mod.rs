//! A commit's files, read from git objects: there is no checkout on disk, and nothing of a repository is ever run.

mod archive;
mod listing;
mod lookup;
mod submodules;

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use git2::{Oid, Repository};
use windlass_domain::{
    AppId, CommitSha, EntryKind, ExtraFile, Failure, FailureCode, RepoUrl, Secret, SourceTree, TreeEntry,
};

use crate::{
    fetch::{FetchError, Progress},
    git::{SourceError, blocking},
    repositories::Repositories,
};
use listing::Listing;

/// How a commit's files are listed.
#[derive(Clone)]
pub struct TreeOptions {
    /// Fetch submodules and show their files. Without it, a submodule is an empty directory, as after a plain clone.
    pub submodules: Option<SubmoduleAccess>,
    /// The most that all files may have together, in bytes.
    pub max_bytes: u64,
}

impl Default for TreeOptions {
    /// No submodules, 2 GiB.
    fn default() -> Self {
        Self {
            submodules: None,
            max_bytes: 2 << 30,
        }
    }
}

/// How submodules are reached.
#[derive(Clone)]
pub struct SubmoduleAccess {
    /// The app's own repository, which relative addresses are relative to; none for an app that is pushed to.
    pub repo_url: Option<RepoUrl>,
    /// The app's deploy key. It is offered to the host of `repo_url` only.
    pub deploy_key: Option<Secret<String>>,
    /// Where git's progress goes.
    pub progress: Progress,
}

/// Why a commit's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The commit is not in the repository.
    #[error("the commit {0} is not in the repository")]
    NoCommit(CommitSha),
    /// A file has a name that must not reach a file system.
    #[error("the path `{path}` in the repository is not usable: {why}")]
    HostilePath {
        /// The path, made printable.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There are more files than allowed.
    #[error("the revision has more than {max_entries} files")]
    TooManyFiles {
        /// The limit.
        max_entries: usize,
    },
    /// The files together are larger than allowed.
    #[error("the files of the revision are larger than {max_bytes} bytes")]
    TooLarge {
        /// The limit for all files.
        max_bytes: u64,
    },
    /// One file is larger than allowed.
    #[error("the file `{path}` is larger than {max_bytes} bytes")]
    FileTooLarge {
        /// Which.
        path: String,
        /// The limit for one file.
        max_bytes: u64,
    },
    /// A submodule cannot be had.
    #[error("the submodule `{path}` {why}")]
    Submodule {
        /// Where it should be.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A submodule cannot be fetched.
    #[error("the submodule `{path}` cannot be fetched")]
    SubmoduleFetch {
        /// Where it should be.
        path: String,
        /// Why not.
        #[source]
        source: FetchError,
    },
    /// Fetching the submodules took longer than is allowed for all of them.
    #[error("the submodules could not all be fetched within {} minutes", .0.as_secs() / 60)]
    SubmodulesLate(Duration),
    /// A fault of ours, or a broken repository.
    #[error("the revision cannot be read")]
    Internal(#[from] SourceError),
}

impl From<git2::Error> for TreeError {
    fn from(error: git2::Error) -> Self {
        Self::Internal(error.into())
    }
}

impl TreeError {
    /// The failure as a deployment tells it: the reason, the evidence and the next step.
    pub fn to_failure(&self) -> Failure {
        let (code, next_step) = match self {
            Self::NoCommit(_) => (
                FailureCode::RefNotFound,
                "push the commit, or deploy another one".to_owned(),
            ),
            Self::HostilePath { .. } => (
                FailureCode::RepositoryRefused,
                "rename or remove the file in the repository, and deploy again".to_owned(),
            ),
            Self::TooManyFiles { .. } | Self::TooLarge { .. } | Self::FileTooLarge { .. } => (
                FailureCode::RepositoryTooLarge,
                "take generated and large files out of the repository, or ask the operator for a higher limit"
                    .to_owned(),
            ),
            Self::Submodule { .. } => (
                FailureCode::RepositoryUnavailable,
                "correct .gitmodules, or turn submodules off for the app".to_owned(),
            ),
            Self::SubmodulesLate(_) => (
                FailureCode::RepositoryUnavailable,
                "check that the servers of the submodules are fast enough, have fewer submodules, or turn them off for the app"
                    .to_owned(),
            ),
            Self::SubmoduleFetch { source, .. } => {
                let inner = source.to_failure();
                (inner.code, inner.next_step)
            }
            Self::Internal(_) => (
                FailureCode::Internal,
                "deploy again; if it fails again, tell the operator".to_owned(),
            ),
        };
        let evidence = std::error::Error::source(self).map(ToString::to_string);
        let reason = self.to_string().replacen("the ", "The ", 1);
        Failure::new(code, reason, next_step).with_evidence(evidence)
    }
}

/// One file, with the object that holds its content.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) kind: EntryKind,
    pub(crate) size: u64,
    pub(crate) object: Oid,
}

/// A commit's files. The list is in memory; contents are read from the repository when they are asked for.
#[derive(Debug, Clone)]
pub struct CommitTree {
    repository: PathBuf,
    /// Sorted by path.
    entries: Vec<Entry>,
    /// Submodules that were not asked for; sorted.
    empty_dirs: Vec<String>,
    /// The commit's time in seconds since 1970: the time of every file, so that the same commit is the same tar.
    time: u64,
}

impl Repositories {
    /// The files of a commit that is in the app's repository. With submodules asked for, they are fetched into the same
    /// repository.
    pub async fn tree(&self, app: AppId, commit: &CommitSha, options: TreeOptions) -> Result<CommitTree, TreeError> {
        let mut listing = Listing::new(options.max_bytes);
        listing = self.list(app, commit.clone(), String::new(), listing).await?;
        let time = listing.time;
        if let Some(access) = &options.submodules {
            listing = self.graft_submodules(app, commit, access, listing).await?;
        }
        let repository = self.dir(app);
        listing.sort()?;
        Ok(CommitTree {
            repository,
            empty_dirs: listing.links.into_iter().map(|link| link.path).collect(),
            entries: listing.entries,
            time,
        })
    }

    /// Adds a commit's files to a listing, below `prefix`.
    async fn list(
        &self,
        app: AppId,
        commit: CommitSha,
        prefix: String,
        mut listing: Listing,
    ) -> Result<Listing, TreeError> {
        let repositories = self.clone();
        blocking(move || {
            listing.add_commit(&repositories.open(app)?, &commit, &prefix)?;
            Ok(listing)
        })
        .await
    }
}

impl CommitTree {
    fn open(&self) -> io::Result<Repository> {
        Repository::open_bare(&self.repository).map_err(io::Error::other)
    }

    fn find(&self, path: &str) -> Option<&Entry> {
        let at = self
            .entries
            .binary_search_by(|entry| entry.path.as_str().cmp(path))
            .ok()?;
        self.entries.get(at)
    }

    fn is_dir(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        let at = self
            .entries
            .partition_point(|entry| entry.path.as_str() < inside.as_str());
        let has_files = self
            .entries
            .get(at)
            .is_some_and(|entry| entry.path.starts_with(&inside));
        has_files || self.empty_dirs.iter().any(|dir| dir == path)
    }
}

impl SourceTree for CommitTree {
    fn entries(&self) -> io::Result<Vec<TreeEntry>> {
        let entry = |entry: &Entry| TreeEntry {
            path: entry.path.clone(),
            kind: entry.kind,
            size: entry.size,
        };
        Ok(self.entries.iter().map(entry).collect())
    }

    fn read(&self, path: &str, limit_bytes: usize) -> io::Result<Option<Vec<u8>>> {
        let repository = self.open()?;
        let Some(entry) = lookup::follow(self, &repository, path)? else {
            return Ok(None);
        };
        let blob = repository.find_blob(entry.object).map_err(io::Error::other)?;
        let content = blob.content();
        Ok(Some(content[..content.len().min(limit_bytes)].to_vec()))
    }

    fn write_tar(
        &self,
        context: &str,
        keep: &(dyn Fn(&str) -> bool + Send + Sync),
        extra: &[ExtraFile],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        archive::write(self, context, keep, extra, out)
    }
}
