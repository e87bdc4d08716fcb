//! The proc-receive protocol (githooks, `proc-receive`): git hands the pushed refs to a program, whose word decides over each.
//!
//! It runs inside the hook process that `git receive-pack` starts, after the pushed objects have been moved into the
//! repository. What the process writes to standard error reaches the client at once, as `remote:` lines. It is synchronous and
//! uses the standard library only, so that the hook starts fast.

use std::io::{self, Read, Write};

use crate::pkt_line::{read_section, write_section};

/// The name that git starts the hook by, with a folder before it.
pub const PROGRAM_NAME: &str = "proc-receive";

/// A ref that the client wants to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// The commit before; zeros if the ref is new.
    pub old: String,
    /// The commit after; zeros if the ref is to be deleted.
    pub new: String,
    /// The full name, as in `refs/heads/main`.
    pub name: String,
}

impl RefUpdate {
    /// Whether the client wants to delete the ref.
    pub fn is_deletion(&self) -> bool {
        self.new.bytes().all(|b| b == b'0')
    }

    /// The name of the branch, if the ref is one.
    pub fn branch(&self) -> Option<&str> {
        self.name.strip_prefix("refs/heads/")
    }
}

/// What becomes of a ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The push of this ref succeeds. Git leaves the ref alone: whoever decided moves it.
    Accepted,
    /// The push of this ref fails with this reason, shown as `! [remote rejected]`.
    Rejected(String),
    /// Git moves the ref itself.
    FallThrough,
}

/// Speaks the protocol on the hook's standard input and output. `decide` gets the refs and the push options, and returns a
/// verdict for each ref in the same order; a ref without a verdict is rejected.
///
/// # Errors
/// When git goes away or says what is not in the protocol; git then rejects all refs.
pub fn run(
    mut stdin: impl Read,
    mut stdout: impl Write,
    decide: impl FnOnce(&[RefUpdate], &[String]) -> Vec<Verdict>,
) -> io::Result<()> {
    let hello = read_section(&mut stdin)?;
    let push_options = offers_push_options(&hello)?;
    let answer = if push_options {
        "version=1\0push-options"
    } else {
        "version=1"
    };
    write_section(&mut stdout, &[answer.to_owned()])?;

    let updates = read_section(&mut stdin)?
        .iter()
        .map(|line| parse_update(line))
        .collect::<io::Result<Vec<_>>>()?;
    let options = if push_options {
        read_section(&mut stdin)?
    } else {
        Vec::new()
    };

    let verdicts = decide(&updates, &options);
    write_section(&mut stdout, &report(&updates, verdicts))
}

/// The first packet is `version=1`, a NUL, and the features by spaces.
fn offers_push_options(hello: &[String]) -> io::Result<bool> {
    let (version, features) = match hello.first().map(String::as_str) {
        Some(line) => line.split_once('\0').unwrap_or((line, "")),
        None => ("", ""),
    };
    if version != "version=1" {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "git speaks another version of proc-receive",
        ));
    }
    Ok(features.split(' ').any(|feature| feature == "push-options"))
}

fn parse_update(line: &str) -> io::Result<RefUpdate> {
    let mut parts = line.splitn(3, ' ').map(str::to_owned);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(old), Some(new), Some(name)) => Ok(RefUpdate { old, new, name }),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "git sent a malformed ref")),
    }
}

fn report(updates: &[RefUpdate], verdicts: Vec<Verdict>) -> Vec<String> {
    let undecided = std::iter::repeat_with(|| Verdict::Rejected("no decision was made".to_owned()));
    updates
        .iter()
        .zip(verdicts.into_iter().chain(undecided))
        .flat_map(|(update, verdict)| report_one(&update.name, verdict))
        .collect()
}

fn report_one(name: &str, verdict: Verdict) -> Vec<String> {
    match verdict {
        Verdict::Accepted => vec![format!("ok {name}")],
        Verdict::FallThrough => vec![format!("ok {name}"), "option fall-through".to_owned()],
        Verdict::Rejected(reason) => {
            let reason: String = reason
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .take(300)
                .collect();
            vec![format!("ng {name} {}", reason.trim())]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pkt_line::packet;

    const OLD: &str = "0000000000000000000000000000000000000000";
    const NEW: &str = "1111111111111111111111111111111111111111";

    fn conversation(parts: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend(if part.is_empty() {
                b"0000".to_vec()
            } else {
                packet(part)
            });
        }
        bytes
    }

    fn answer(input: &[u8], verdicts: Vec<Verdict>) -> (io::Result<()>, String) {
        let mut out = Vec::new();
        let result = run(input, &mut out, |_, _| verdicts);
        (result, String::from_utf8(out).unwrap())
    }

    #[test]
    fn refs_and_options_reach_the_decision() {
        let input = conversation(&[
            "version=1\0atomic push-options\n",
            "",
            &format!("{OLD} {NEW} refs/heads/main"),
            "",
            "no-deploy",
            "",
        ]);
        let mut seen = None;
        run(input.as_slice(), Vec::new(), |updates, options| {
            seen = Some((updates.to_vec(), options.to_vec()));
            vec![Verdict::Accepted]
        })
        .unwrap();
        let (updates, options) = seen.unwrap();
        assert_eq!(updates[0].branch(), Some("main"));
        assert!(!updates[0].is_deletion());
        assert_eq!(options, ["no-deploy"]);
    }

    #[test]
    fn each_verdict_is_reported_in_order() {
        let refs = ["a", "b", "c", "d"].map(|name| format!("{OLD} {NEW} refs/heads/{name}"));
        let input = conversation(&["version=1\n", "", &refs[0], &refs[1], &refs[2], &refs[3], ""]);
        let verdicts = vec![
            Verdict::Accepted,
            Verdict::Rejected("the build\nfailed".to_owned()),
            Verdict::FallThrough,
        ];
        let (result, out) = answer(&input, verdicts);
        result.unwrap();
        let expected = conversation(&[
            "version=1",
            "",
            "ok refs/heads/a",
            "ng refs/heads/b the build failed",
            "ok refs/heads/c",
            "option fall-through",
            "ng refs/heads/d no decision was made",
            "",
        ]);
        assert_eq!(out.as_bytes(), expected);
    }

    #[test]
    fn what_is_not_the_protocol_is_an_error() {
        for input in [
            conversation(&["version=2\n", ""]),
            conversation(&[""]),
            conversation(&["version=1\n", "", "nonsense", ""]),
            conversation(&["version=1\n"]),
        ] {
            assert!(answer(&input, Vec::new()).0.is_err());
        }
    }
}
