//! Why a revision could not be fetched, told to the one who can change it.

use std::time::Duration;

use windlass_domain::{Failure, FailureCode};

use crate::git::SourceError;

/// Why a revision could not be fetched. All but [`FetchError::Internal`] are results, not faults.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The repository answers but has no such branch, tag or commit.
    #[error("{host} has no branch, tag or commit `{reference}`")]
    RefNotFound {
        /// What was asked for.
        reference: String,
        /// Where.
        host: String,
    },
    /// The server does not show the repository to us; it does not say whether it exists.
    #[error("the repository on {host} does not exist or is private")]
    NotFoundOrPrivate {
        /// Where.
        host: String,
        /// Whether it was asked over SSH, and so with a key.
        ssh: bool,
        /// What the server said.
        said: String,
    },
    /// The address is not on the public internet, and not in a network that the operator allows.
    #[error("the address of {host} is not allowed")]
    Refused {
        /// The host as the user wrote it.
        host: String,
    },
    /// The server sends the client elsewhere, which is not followed.
    #[error("{host} redirects to another address")]
    Redirected {
        /// Where.
        host: String,
    },
    /// More came than is allowed.
    #[error("the repository is larger than {max_bytes} bytes")]
    TooLarge {
        /// The limit, in bytes of packed objects.
        max_bytes: u64,
    },
    /// It took longer than is allowed.
    #[error("the fetch took longer than {} s", .0.as_secs())]
    Timeout(Duration),
    /// The server does not answer, or not properly.
    #[error("{host} cannot be reached: {why}")]
    Unreachable {
        /// Where.
        host: String,
        /// In which way.
        why: String,
    },
    /// Git failed in another way; this is the end of what it said.
    #[error("git could not fetch: {0}")]
    Git(String),
    /// A fault of ours.
    #[error("the fetch failed on our side")]
    Internal(#[from] SourceError),
}

impl FetchError {
    /// The failure as a deployment tells it: the reason, the evidence and the next step.
    pub fn to_failure(&self) -> Failure {
        let (code, next_step) = self.advice();
        let reason = capitalised(&self.to_string());
        let evidence = match self {
            Self::NotFoundOrPrivate { said, .. } => said.clone(),
            Self::Internal(source) => source.to_string(),
            _ => String::new(),
        };
        Failure::new(code, reason, next_step).with_evidence(Some(evidence).filter(|line| !line.is_empty()))
    }

    fn advice(&self) -> (FailureCode, &'static str) {
        use FailureCode as Code;
        match self {
            Self::RefNotFound { .. } => (
                Code::RefNotFound,
                "push the branch, tag or commit there, or choose another one to deploy",
            ),
            Self::NotFoundOrPrivate { ssh: true, .. } => (
                Code::RepositoryUnavailable,
                "check the address, and add the app's deploy key to the repository's deploy keys with read access",
            ),
            Self::NotFoundOrPrivate { ssh: false, .. } => (
                Code::RepositoryUnavailable,
                "check the address; for a private repository use its SSH address (git@host:owner/name.git) and a deploy key",
            ),
            Self::Refused { .. } => (
                Code::RepositoryRefused,
                "use a repository on a public address, or ask the operator to allow the network that it is in",
            ),
            Self::Redirected { .. } => (
                Code::RepositoryUnavailable,
                "use the address that the server redirects to; often it ends with .git or begins with https",
            ),
            Self::TooLarge { .. } => (
                Code::RepositoryTooLarge,
                "take large files out of the repository, or ask the operator for a higher limit",
            ),
            Self::Timeout(_) | Self::Unreachable { .. } => (
                Code::RepositoryUnavailable,
                "check that the server is up and the address is right, then deploy again",
            ),
            Self::Git(_) => (
                Code::RepositoryUnavailable,
                "check that the address is that of a git repository",
            ),
            Self::Internal(_) => (Code::Internal, "deploy again; if it fails again, tell the operator"),
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_repository_is_told_with_both_causes_and_the_key() {
        let failure = FetchError::NotFoundOrPrivate {
            host: "github.com".to_owned(),
            ssh: true,
            said: "Permission denied (publickey)".to_owned(),
        }
        .to_failure();
        assert_eq!(failure.code, FailureCode::RepositoryUnavailable);
        assert_eq!(
            failure.reason,
            "The repository on github.com does not exist or is private"
        );
        assert_eq!(failure.evidence, ["Permission denied (publickey)"]);
        assert!(failure.next_step.contains("deploy key"));
    }

    #[test]
    fn a_refusal_names_the_host_and_nothing_behind_it() {
        let failure = FetchError::Refused {
            host: "intern.example".to_owned(),
        }
        .to_failure();
        assert_eq!(failure.reason, "The address of intern.example is not allowed");
        assert!(failure.evidence.is_empty());
    }
}
