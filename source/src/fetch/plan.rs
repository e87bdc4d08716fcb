//! What to ask a remote for, in which order. Pure but for looking up the answer.

use git2::Repository;
use windlass_domain::{CommitSha, GitRef};

use crate::repositories::{commit_by_id, is_commit_id};

/// What the last fetch from the app's repository brought.
pub(crate) const FETCHED: &str = "refs/windlass/fetched";

/// One thing to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// A ref by its full name, or `HEAD`.
    Ref(String),
    /// A commit by its id, which most servers give out if it is reachable.
    Object(CommitSha),
    /// All branches and tags with their history, to find this commit (perhaps a shortened id) in them.
    Everything(String),
}

impl Attempt {
    /// The arguments of `git fetch` after the address.
    pub(super) fn refspecs(&self, destination: &str) -> Vec<String> {
        match self {
            Self::Ref(name) => vec![format!("+{name}:{destination}")],
            Self::Object(commit) => vec![format!("+{commit}:{destination}")],
            Self::Everything(_) => ["heads", "tags"]
                .map(|kind| format!("+refs/{kind}/*:refs/windlass/mirror/{kind}/*"))
                .to_vec(),
        }
    }

    /// The depth option: one commit, or (git's word for all) the largest number.
    pub(super) const fn depth(&self) -> &'static str {
        match self {
            Self::Everything(_) => "--depth=2147483647",
            _ => "--depth=1",
        }
    }

    /// The commit that the attempt brought; none if it is not among what came.
    pub(super) fn found_in(&self, repository: &Repository, destination: &str) -> Option<CommitSha> {
        let commit = match self {
            Self::Everything(id) => commit_by_id(repository, id)?,
            _ => repository.find_reference(destination).ok()?.peel_to_commit().ok()?,
        };
        commit.id().to_string().parse().ok()
    }
}

/// The order in which a revision is looked for. A commit that the caller knows is the only answer.
pub(super) fn attempts(reference: &GitRef, commit: Option<&CommitSha>) -> Vec<Attempt> {
    let text = reference.as_str();
    let by_id = |commit: &CommitSha| vec![Attempt::Object(commit.clone()), Attempt::Everything(commit.to_string())];
    if let Some(commit) = commit {
        return by_id(commit);
    }
    if text == "HEAD" || text.starts_with("refs/") {
        return vec![Attempt::Ref(text.to_owned())];
    }
    let mut attempts = match text.parse::<CommitSha>() {
        Ok(commit) => vec![Attempt::Object(commit)],
        Err(_) => Vec::new(),
    };
    attempts.push(Attempt::Ref(format!("refs/heads/{text}")));
    attempts.push(Attempt::Ref(format!("refs/tags/{text}")));
    if is_commit_id(text) {
        attempts.push(Attempt::Everything(text.to_owned()));
    }
    attempts
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    fn order(reference: &str, commit: Option<&str>) -> Vec<Attempt> {
        let commit = commit.map(|text| text.parse().unwrap());
        attempts(&reference.parse().unwrap(), commit.as_ref())
    }

    fn named(name: &str) -> Attempt {
        Attempt::Ref(name.to_owned())
    }

    #[test]
    fn a_name_is_a_branch_before_it_is_a_tag() {
        assert_eq!(order("v1", None), [named("refs/heads/v1"), named("refs/tags/v1")]);
    }

    #[test]
    fn a_known_commit_is_the_only_answer() {
        let expected = [
            Attempt::Object(SHA.parse().unwrap()),
            Attempt::Everything(SHA.to_owned()),
        ];
        assert_eq!(order("main", Some(SHA)), expected);
    }

    #[test]
    fn an_id_is_a_commit_before_it_is_a_name() {
        assert_eq!(order(SHA, None)[0], Attempt::Object(SHA.parse().unwrap()));
        assert_eq!(
            order("0123456", None).last(),
            Some(&Attempt::Everything("0123456".to_owned()))
        );
    }

    #[test]
    fn full_refs_and_head_are_taken_at_their_word() {
        assert_eq!(order("refs/pull/7/head", None), [named("refs/pull/7/head")]);
        assert_eq!(order("HEAD", None), [named("HEAD")]);
    }
}
