//! Git: the project's own bare repositories, pushes into them, fetches from elsewhere, and a commit's files as a tar.
//!
//! The system's `git` moves objects (receive-pack, upload-pack, fetch), because no library serves pushes and git's own network
//! code is the one that forges are tested with; libgit2 reads trees, because it needs no process. What a user wrote reaches git
//! only as one argument of a vector, or as an object. This crate must never know of the store, the builder or Docker, and it
//! reads no environment: [`SourceConfig`] says everything.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should stop"))]

mod address;
pub mod deploy_key;
mod fetch;
mod git;
pub mod hook;
mod inflate;
mod locks;
mod pkt_line;
mod repositories;
mod serve;
mod tree;

pub use address::{FetchPolicy, is_public};
pub use fetch::{FetchError, FetchRequest, Progress};
pub use git::SourceError;
pub use repositories::{CommitInfo, Repositories, SourceConfig};
pub use serve::{GitRequest, GitResponse, GitService, RequestBody, ResponseBody};
pub use tree::{CommitTree, SubmoduleAccess, TreeError, TreeOptions};
