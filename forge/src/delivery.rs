//! What a forge says, in words that are the same for all forges.

use std::collections::BTreeSet;

use windlass_domain::{BranchName, CommitSha, log::clean_line};

/// The longest first line of a commit's message that is kept, in characters.
const MAX_MESSAGE_CHARS: usize = 200;

/// Markers in the message of a commit that say: do not deploy this.
const SKIP_MARKERS: [&str; 2] = ["[skip deploy]", "[deploy skip]"];

/// One webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The forge's id of the delivery: the same when it delivers again.
    pub id: String,
    /// The event in the forge's own word, such as `push`.
    pub event: String,
    /// The identities ([`windlass_domain::RepoUrl::identity`]) of the repository it is about, from all its addresses.
    pub repositories: BTreeSet<String>,
    /// What happened.
    pub content: Content,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The forge tries whether the webhook works.
    Ping,
    /// Commits were pushed, or a branch or tag was made or deleted.
    Push(PushEvent),
    /// Something that leads to no deployment.
    Other,
}

/// A push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushEvent {
    /// What moved.
    pub reference: PushedRef,
    /// Where it points now; none when it was deleted.
    pub commit: Option<CommitSha>,
    /// The first line of the commit's message, made printable.
    pub message: Option<String>,
    /// Whether the commit's message asks for no deployment: `[skip deploy]` or `[deploy skip]`, anywhere in it.
    pub skip: bool,
    /// Who pushed.
    pub pusher: Option<String>,
}

/// What a push moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushedRef {
    /// A branch.
    Branch(BranchName),
    /// A tag, by its short name.
    Tag(String),
    /// Another ref, or one whose name Windlass does not accept.
    Other(String),
}

impl PushedRef {
    /// Reads a full ref name.
    pub(crate) fn parse(name: &str) -> Self {
        if let Some(tag) = name.strip_prefix("refs/tags/") {
            return Self::Tag(clean_line(tag, MAX_MESSAGE_CHARS));
        }
        match name.strip_prefix("refs/heads/").map(str::parse) {
            Some(Ok(branch)) => Self::Branch(branch),
            _ => Self::Other(clean_line(name, MAX_MESSAGE_CHARS)),
        }
    }
}

/// Why a request is not a delivery of its forge.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// A header is missing or is not what the forge sends.
    #[error("the header `{0}` is missing or malformed")]
    Header(&'static str),
    /// The body is of a kind that the forge does not send.
    #[error("the content type is neither application/json nor application/x-www-form-urlencoded")]
    ContentType,
    /// A form without its field.
    #[error("the form has no field `payload`")]
    NoPayload,
    /// The body is not the JSON that the forge sends with this event.
    #[error("the payload is not what the forge sends: {0}")]
    Json(serde_json::Error),
    /// The commit is no commit id.
    #[error("the payload names no commit: {0}")]
    Commit(windlass_domain::NameError),
}

pub(crate) fn first_line(message: &str) -> String {
    clean_line(message.lines().next().unwrap_or_default().trim(), MAX_MESSAGE_CHARS)
}

pub(crate) fn asks_to_skip(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    SKIP_MARKERS.iter().any(|marker| message.contains(marker))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_are_branches_tags_or_neither() {
        let branch = |name: &str| PushedRef::Branch(name.parse().unwrap());
        assert_eq!(PushedRef::parse("refs/heads/main"), branch("main"));
        assert_eq!(PushedRef::parse("refs/heads/a/b"), branch("a/b"));
        assert_eq!(PushedRef::parse("refs/tags/v1"), PushedRef::Tag("v1".to_owned()));
        assert_eq!(
            PushedRef::parse("refs/notes/x"),
            PushedRef::Other("refs/notes/x".to_owned())
        );
    }

    #[test]
    fn a_branch_that_git_would_read_as_an_option_is_no_branch() {
        for name in [
            "--upload-pack=x",
            "-h",
            "a b",
            "a;id\n",
            "",
            "$(id)~1",
            &"x".repeat(1 << 20),
        ] {
            let parsed = PushedRef::parse(&format!("refs/heads/{name}"));
            assert!(
                matches!(&parsed, PushedRef::Other(shown) if shown.len() < 300),
                "{parsed:?}"
            );
        }
    }

    #[test]
    fn markers_are_found_anywhere_and_in_any_case() {
        assert!(asks_to_skip("Fix the docs [Skip Deploy]"));
        assert!(asks_to_skip("Fix the docs\n\nLong story.\n[deploy skip]"));
        assert!(!asks_to_skip("skip deploy"));
        assert!(!asks_to_skip(
            "[skip ci] still deploys: the checks are skipped, not the change"
        ));
    }
}
