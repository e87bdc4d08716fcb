//! Versions: what is too old for Windlass, and why.

use super::{Finding, Verdict};

/// `http.curloptResolve`, by which a fetch goes to the address that was checked and to no other, came with git 2.37.
const GIT: (u32, u32) = (2, 37);
/// Docker Engine 20.10, the first whose BuildKit tells its progress.
const DOCKER_API: (u32, u32) = (1, 41);
/// Statements of Windlass use `materialized`, which came with PostgreSQL 12.
const POSTGRES: u32 = 12;
/// The oldest PostgreSQL that is still looked after.
const POSTGRES_MAINTAINED: u32 = 14;

/// The first two numbers in a text such as `git version 2.47.3` or `1.41`.
fn numbers(text: &str) -> Option<(u32, u32)> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let mut parts = text[start..].split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// What `git --version` says.
pub(super) fn git(text: &str) -> Finding {
    let remedy = "install git 2.37 or later: a fetch is held to the address that was checked by `http.curloptResolve`";
    match numbers(text) {
        Some(version) if version >= GIT => Finding::ok("git", text),
        Some(_) => Finding::bad("git", Verdict::Failed, format!("{text} is too old"), remedy),
        None => Finding::bad("git", Verdict::Warning, format!("`{text}` is no version"), remedy),
    }
}

/// The Docker Engine: what it is, and the version of its API.
pub(super) fn docker(detail: String, api: &str) -> Finding {
    match numbers(api) {
        Some(version) if version < DOCKER_API => Finding::bad(
            "docker",
            Verdict::Failed,
            format!("{detail} is too old"),
            "install Docker Engine 20.10 (API 1.41) or later: builds need its BuildKit",
        ),
        _ => Finding::ok("docker", detail),
    }
}

/// PostgreSQL by its major version.
pub(super) fn postgres(detail: String, major: u32) -> Finding {
    if major < POSTGRES {
        let remedy = "use PostgreSQL 14 or later: statements of Windlass need 12";
        return Finding::bad(
            "postgres",
            Verdict::Failed,
            format!("{detail}: {major} is too old"),
            remedy,
        );
    }
    if major < POSTGRES_MAINTAINED {
        let remedy = "upgrade to PostgreSQL 14 or later; older ones get no more corrections";
        return Finding::bad(
            "postgres",
            Verdict::Warning,
            format!("{detail}: {major} is old"),
            remedy,
        );
    }
    Finding::ok("postgres", format!("{detail}: {major}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_old_is_said_with_a_remedy() {
        let verdicts = |findings: &[Finding]| findings.iter().map(|finding| finding.verdict).collect::<Vec<_>>();
        let found = ["git version 2.47.3", "git version 2.36.9", "git version 3.0", "git"].map(git);
        use Verdict::{Failed, Ok, Warning};
        assert_eq!(verdicts(&found), [Ok, Failed, Ok, Warning]);
        let found = ["1.41", "1.53", "1.40"].map(|api| docker("docker".to_owned(), api));
        assert_eq!(verdicts(&found), [Ok, Ok, Failed]);
        let found = [15, 14, 13, 11].map(|major| postgres("a server".to_owned(), major));
        assert_eq!(verdicts(&found), [Ok, Ok, Warning, Failed]);
        assert!(found[2..].iter().all(|finding| finding.remedy.is_some()));
    }
}
