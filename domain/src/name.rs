//! Names with a grammar. Each is parsed once, at the door; whoever holds one may rely on it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text is not the name that was asked for. The message says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}; {rule}")]
pub struct NameError {
    what: &'static str,
    problem: String,
    rule: &'static str,
}

impl NameError {
    fn new(what: &'static str, problem: impl Into<String>, rule: &'static str) -> Self {
        Self {
            what,
            problem: problem.into(),
            rule,
        }
    }
}

/// Shows a hostile text in a message without letting it break the message.
fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().count() > 60 {
        out.push('…');
    }
    out
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The grammar in one sentence, for messages and documentation.
            pub const RULE: &'static str = $rule;

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                match $check(text) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(problem) => Err(NameError::new($what, problem, $rule)),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

name!(
    /// The name of an app: a DNS label (RFC 1123), lower case, 50 characters at most, because it becomes the first label of the
    /// app's host name, the name of its repository and part of its containers' names.
    AppName, "app name", check_app_name,
    "use 1 to 50 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen"
);
name!(
    /// A process type of a Procfile, such as `web` or `worker`.
    ProcessType, "process type", check_process_type,
    "use 1 to 30 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen"
);
name!(
    /// The name of a config var: a POSIX environment variable name.
    ConfigKey, "config var name", check_config_key,
    "use letters, digits and underscores, not beginning with a digit, 256 characters at most; `PORT` and names that begin with `WINDLASS_` are set by Windlass"
);
name!(
    /// The short name of a git branch (`main`, `feature/x`), safe to pass to git.
    BranchName, "branch", check_ref_part,
    "use a branch name as `git check-ref-format --branch` accepts it, without a leading hyphen"
);
name!(
    /// What a user may ask to deploy: a branch, a tag, a full ref or a commit id. Safe to pass to git as one argument.
    GitRef, "ref", check_ref_part,
    "use a branch, a tag or a commit id, without a leading hyphen"
);
name!(
    /// A full commit id: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
    CommitSha, "commit", check_commit,
    "use the full commit id of 40 or 64 lower-case hexadecimal digits"
);
name!(
    /// A host name of letters, digits, hyphens and dots (RFC 1123), lower case, without a trailing dot.
    Hostname, "host name", check_hostname,
    "use dot-separated labels of lower-case letters, digits and hyphens, 253 characters at most, such as `shop.example.com`"
);

impl CommitSha {
    /// The first eight digits, as people read them.
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl ProcessType {
    /// The process type that receives requests.
    pub fn web() -> Self {
        Self("web".to_owned())
    }

    /// Whether requests are routed to this process type.
    pub fn is_web(&self) -> bool {
        self.0 == "web"
    }

    /// The process type that runs once before a release goes live.
    pub fn is_release(&self) -> bool {
        self.0 == "release"
    }
}

/// Names that would shadow a part of Windlass itself.
const RESERVED_APP_NAMES: [&str; 3] = ["windlass", "localhost", "www-windlass"];

fn check_dns_label(text: &str, max: usize) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if text.len() > max {
        return Err(format!("`{}` is {} characters long", shown(text), text.chars().count()));
    }
    if let Some(bad) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return Err(format!("`{}` contains `{}`", shown(text), bad.escape_debug()));
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(format!("`{text}` begins or ends with a hyphen"));
    }
    Ok(())
}

fn check_app_name(text: &str) -> Result<(), String> {
    check_dns_label(text, 50)?;
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("`{text}` begins with a digit"));
    }
    if RESERVED_APP_NAMES.contains(&text) {
        return Err(format!("`{text}` is reserved"));
    }
    Ok(())
}

fn check_process_type(text: &str) -> Result<(), String> {
    check_dns_label(text, 30)?;
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("`{text}` begins with a digit"));
    }
    Ok(())
}

fn check_config_key(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if text.len() > 256 {
        return Err(format!("`{}` is longer than 256 characters", shown(text)));
    }
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("`{}` is not a variable name", shown(text)));
    }
    if text == "PORT" || text.starts_with("WINDLASS_") {
        return Err(format!("`{text}` is reserved"));
    }
    Ok(())
}

/// The rules of `git check-ref-format`, plus no leading hyphen so that it can never be read as an option.
fn check_ref_part(text: &str) -> Result<(), String> {
    let bad_char = |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\' | '\u{7f}');
    let problem = if text.is_empty() {
        "is empty".to_owned()
    } else if text.len() > 250 {
        format!("`{}` is longer than 250 characters", shown(text))
    } else if text.starts_with('-') {
        format!("`{}` begins with a hyphen", shown(text))
    } else if let Some(bad) = text.chars().find(|&c| bad_char(c)) {
        format!("`{}` contains `{}`", shown(text), bad.escape_debug())
    } else if text == "@"
        || text.contains("..")
        || text.contains("@{")
        || text.contains("//")
        || text.ends_with('/')
        || text.starts_with('/')
        || text.ends_with('.')
        || text
            .split('/')
            .any(|part| part.starts_with('.') || part.ends_with(".lock"))
    {
        format!("`{}` is not a valid git ref", shown(text))
    } else {
        return Ok(());
    };
    Err(problem)
}

fn check_commit(text: &str) -> Result<(), String> {
    let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if hex && (text.len() == 40 || text.len() == 64) {
        Ok(())
    } else {
        Err(format!("`{}` is not a full commit id", shown(text)))
    }
}

fn check_hostname(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if text.len() > 253 {
        return Err(format!("`{}` is longer than 253 characters", shown(text)));
    }
    text.split('.')
        .try_for_each(|label| check_dns_label(label, 63))
        .map_err(|why| format!("`{}`: a label {why}", shown(text)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused<T: FromStr<Err = NameError> + fmt::Debug>(texts: &[&str]) {
        for text in texts {
            assert!(text.parse::<T>().is_err(), "{text:?} was accepted");
        }
    }

    fn accepted<T: FromStr<Err = NameError> + fmt::Debug>(texts: &[&str]) {
        for text in texts {
            text.parse::<T>().unwrap();
        }
    }

    const HOSTILE: [&str; 14] = [
        "",
        "-x",
        "a;id",
        "$(id)",
        "`id`",
        "a|b",
        "a&b",
        "a\nb",
        "a\0b",
        "../x",
        "/etc/passwd",
        "A B",
        "a'b",
        "é",
    ];

    #[test]
    fn app_names_are_dns_labels() {
        accepted::<AppName>(&["a", "shop", "shop-2", "a1"]);
        refused::<AppName>(&HOSTILE);
        refused::<AppName>(&["1a", "a-", "Shop", "a.b", "a_b", &"a".repeat(51), "windlass"]);
    }

    #[test]
    fn the_message_says_what_is_allowed() {
        let message = "My_App".parse::<AppName>().unwrap_err().to_string();
        assert_eq!(
            message,
            "app name `My_App` contains `M`; use 1 to 50 lower-case letters, digits and hyphens, \
             beginning with a letter and not ending with a hyphen"
        );
    }

    #[test]
    fn refs_follow_git_and_are_never_options() {
        accepted::<BranchName>(&["main", "feature/x", "v1.2", "a@b"]);
        refused::<GitRef>(&[
            "--upload-pack=x",
            "-h",
            "a..b",
            "a b",
            "a:b",
            "x.lock",
            "a//b",
            "a/",
            "@",
            "a~1",
            "refs/.hidden",
        ]);
    }

    #[test]
    fn commits_are_whole() {
        accepted::<CommitSha>(&[&"0a".repeat(20), &"0".repeat(64)]);
        refused::<CommitSha>(&["abc", &"0A".repeat(20), &"0".repeat(41)]);
    }

    #[test]
    fn config_keys_are_variable_names() {
        accepted::<ConfigKey>(&["A", "_x", "DATABASE_URL"]);
        refused::<ConfigKey>(&["", "1A", "A-B", "A B", "A=B", "PORT", "WINDLASS_APP", "é"]);
    }

    #[test]
    fn host_names_cannot_carry_rule_text() {
        accepted::<Hostname>(&["a.example.com", "localhost", "a-b.c"]);
        refused::<Hostname>(&["a`)||Host(`b", "a b", "a.", ".a", "a..b", "A.b", "*.b", "a{b}", "a\"b"]);
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_harmless(text in "\\PC{0,80}") {
            if let Ok(name) = text.parse::<AppName>() {
                prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            }
            if let Ok(name) = text.parse::<GitRef>() {
                prop_assert!(!name.as_str().starts_with('-') && !name.as_str().contains(['\n', ' ', ':']));
            }
        }
    }
}
