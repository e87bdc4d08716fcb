//! Reading what git complains about. Git's exit code says nothing more than "failed", so its words must do; they are in
//! English because git runs with `LC_ALL=C`.

use windlass_domain::RepoUrl;

use super::error::FetchError;
use crate::git::tail;

/// What a failed `git fetch` means.
#[derive(Debug)]
pub(super) enum Complaint {
    /// What was asked for is not there, or not given out; something else may be.
    Missing,
    /// The end of the matter.
    Fatal(FetchError),
}

const MISSING: [&str; 5] = [
    "couldn't find remote ref",
    "not our ref",
    "unadvertised object",
    "no such remote ref",
    "did not send all necessary objects",
];

const CLOSED: [&str; 12] = [
    "terminal prompts disabled",
    "could not read username",
    "could not read password",
    "authentication failed",
    "permission denied",
    "repository not found",
    "does not appear to be a git repository",
    "is this a git repository?",
    "returned error: 401",
    "returned error: 403",
    "returned error: 404",
    "not found",
];

const REDIRECTED: [&str; 5] = [
    "returned error: 301",
    "returned error: 302",
    "returned error: 303",
    "returned error: 307",
    "returned error: 308",
];

/// The words, and how they are told.
const UNREACHABLE: [(&str, &str); 13] = [
    ("could not resolve host", "its name cannot be resolved"),
    ("connection refused", "it refuses the connection"),
    ("timed out", "it does not answer"),
    ("too slow", "it sends too slowly"),
    (
        "host key verification failed",
        "its host key is not the one it had before",
    ),
    ("certificate", "its certificate is not valid"),
    ("ssl", "no secure connection can be made"),
    ("gnutls", "no secure connection can be made"),
    ("returned error: 5", "it answers with a server error"),
    ("returned error: 429", "it limits our requests; wait a while"),
    ("connection reset", "it broke the connection off"),
    ("hung up", "it broke the connection off"),
    ("failed to connect", "it accepts no connection"),
];

/// Judges the lines that a failed fetch printed. The more definite signs come first, because git often adds a general
/// sentence ("Could not read from remote repository") after them.
pub(super) fn judge(stderr: &[String], url: &RepoUrl) -> Complaint {
    // The address is the user's own words, not git's.
    let text = stderr
        .join("\n")
        .to_lowercase()
        .replace(&url.to_string().to_lowercase(), "");
    let has = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    let host = || url.host().to_owned();
    if has(&MISSING) {
        return Complaint::Missing;
    }
    if has(&REDIRECTED) {
        return Complaint::Fatal(FetchError::Redirected { host: host() });
    }
    let said = tail(&complaints(stderr).join("\n"), 3);
    if has(&CLOSED) {
        let ssh = url.is_ssh();
        return Complaint::Fatal(FetchError::NotFoundOrPrivate {
            host: host(),
            ssh,
            said,
        });
    }
    let unreachable = UNREACHABLE.iter().find(|(sign, _)| text.contains(sign));
    Complaint::Fatal(match unreachable {
        Some((_, why)) => FetchError::Unreachable {
            host: host(),
            why: (*why).to_owned(),
        },
        None => FetchError::Git(said),
    })
}

/// Whether a line says how far git got, which is worth showing while it happens; the rest is for [`judge`].
pub(super) fn is_progress(line: &str) -> bool {
    ["remote: ", "Receiving objects", "Resolving deltas"]
        .iter()
        .any(|start| line.starts_with(start))
}

/// What git says after every failure over SSH.
const BOILERPLATE: [&str; 3] = [
    "fatal: Could not read from remote repository.",
    "Please make sure you have the correct access rights",
    "and the repository exists.",
];

/// Lines that say what is wrong. What the server says (`remote:`) may tell more than git does.
fn complaints(stderr: &[String]) -> Vec<&str> {
    let counts = [
        "remote: Counting",
        "remote: Compressing",
        "remote: Enumerating",
        "remote: Total",
    ];
    stderr
        .iter()
        .map(String::as_str)
        .filter(|line| !is_progress(line) || line.starts_with("remote: "))
        .filter(|line| !counts.iter().any(|start| line.starts_with(start)) && !BOILERPLATE.contains(line))
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn judged(stderr: &str, url: &str) -> Complaint {
        let lines: Vec<String> = stderr.lines().map(str::to_owned).collect();
        judge(&lines, &url.parse().unwrap())
    }

    const HTTP: &str = "https://git.example/a/b.git";
    const SSH: &str = "git@git.example:a/b.git";

    #[rstest]
    #[case("fatal: couldn't find remote ref refs/heads/nope")]
    #[case("fatal: remote error: upload-pack: not our ref 0123")]
    #[case("error: Server does not allow request for unadvertised object 0123")]
    fn what_is_missing_may_be_tried_otherwise(#[case] stderr: &str) {
        assert!(matches!(judged(stderr, HTTP), Complaint::Missing), "{stderr}");
    }

    #[rstest]
    #[case(
        "fatal: could not read Username for 'https://git.example': terminal prompts disabled",
        HTTP
    )]
    #[case(
        "remote: Not Found\nfatal: repository 'https://git.example/a/b.git/' not found",
        HTTP
    )]
    #[case("fatal: unable to access 'https://x/': The requested URL returned error: 403", HTTP)]
    #[case(
        "git@git.example: Permission denied (publickey).\nfatal: Could not read from remote repository.",
        SSH
    )]
    #[case("ERROR: Repository not found.\nfatal: Could not read from remote repository.", SSH)]
    fn closed_doors_are_told_alike(#[case] stderr: &str, #[case] url: &str) {
        let judged = judged(stderr, url);
        assert!(
            matches!(judged, Complaint::Fatal(FetchError::NotFoundOrPrivate { .. })),
            "{judged:?}"
        );
    }

    #[rstest]
    #[case(
        "fatal: unable to access 'https://x/': Could not resolve host: git.example",
        "its name cannot be resolved"
    )]
    #[case(
        "fatal: unable to access 'x': server certificate verification failed. CAfile: none",
        "its certificate is not valid"
    )]
    #[case(
        "Host key verification failed.\nfatal: Could not read from remote repository.",
        "its host key is not the one it had before"
    )]
    #[case(
        "error: RPC failed; curl 28 Operation too slow. Less than 1000 bytes/sec",
        "it sends too slowly"
    )]
    #[case(
        "fatal: unable to access 'x': The requested URL returned error: 502",
        "it answers with a server error"
    )]
    fn servers_in_trouble_are_named_with_their_trouble(#[case] stderr: &str, #[case] expected: &str) {
        match judged(stderr, HTTP) {
            Complaint::Fatal(FetchError::Unreachable { host, why }) => {
                assert_eq!((host.as_str(), why.as_str()), ("git.example", expected));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_evidence_is_what_the_server_said() {
        let stderr = "git@git.example: Permission denied (publickey).\nfatal: Could not read from remote repository.\nPlease make sure you have the correct access rights\nand the repository exists.";
        match judged(stderr, SSH) {
            Complaint::Fatal(FetchError::NotFoundOrPrivate { said, ssh: true, .. }) => {
                assert_eq!(said, "git@git.example: Permission denied (publickey).");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_redirect_is_not_followed_and_said() {
        let judged = judged(
            "fatal: unable to access 'x': The requested URL returned error: 301",
            HTTP,
        );
        assert!(
            matches!(judged, Complaint::Fatal(FetchError::Redirected { .. })),
            "{judged:?}"
        );
    }

    #[test]
    fn the_rest_is_gits_own_words_without_its_progress() {
        match judged("Receiving objects: 100% (3/3), done.\nfatal: bad object 12", HTTP) {
            Complaint::Fatal(FetchError::Git(said)) => assert_eq!(said, "fatal: bad object 12"),
            other => panic!("{other:?}"),
        }
    }
}
