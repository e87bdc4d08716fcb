//! Addresses of git repositories that Windlass may fetch from.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use url::Url;

/// An `https:`, `http:` or `ssh:` address of a git repository. `git@host:path` is read as SSH. Anything else that git would
/// understand (`file:`, `ext:`, a local path, options) is refused here. Whether the *address* may be reached is decided when it
/// is resolved, by the source crate.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoUrl(Url);

/// Why an address is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; use an address such as https://github.com/owner/name.git or git@github.com:owner/name.git")]
pub struct RepoUrlError(String);

impl RepoUrl {
    /// The address as a URL; scp-like addresses have become `ssh://`.
    pub const fn url(&self) -> &Url {
        &self.0
    }

    /// Whether it is fetched over SSH.
    pub fn is_ssh(&self) -> bool {
        self.0.scheme() == "ssh"
    }

    /// The host, in lower case; IPv6 in brackets.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// What two addresses of one repository have in common: `host/path` in lower case, without scheme, user and `.git`.
    /// A forge's webhook names a repository by several addresses; this compares them.
    pub fn identity(&self) -> String {
        let path = self.0.path().trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let port = self.0.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!(
            "{}{}/{}",
            self.host(),
            if self.is_ssh() { String::new() } else { port },
            path
        )
        .to_ascii_lowercase()
    }
}

impl FromStr for RepoUrl {
    type Err = RepoUrlError;

    fn from_str(text: &str) -> Result<Self, RepoUrlError> {
        let refuse = |why: &str| Err(RepoUrlError(why.to_owned()));
        if text.is_empty() || text.len() > 2048 {
            return refuse("the repository address is empty or too long");
        }
        if text.starts_with('-') {
            return refuse("the repository address begins with a hyphen");
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return refuse("the repository address contains white space, a backslash or a control character");
        }
        let text = scp_to_ssh(text).unwrap_or_else(|| text.to_owned());
        let Ok(url) = Url::parse(&text) else {
            return refuse("the repository address is not a URL");
        };
        if !matches!(url.scheme(), "https" | "http" | "ssh") {
            return Err(RepoUrlError(format!("`{}:` addresses are not allowed", url.scheme())));
        }
        if url
            .host_str()
            .is_none_or(|host| host.is_empty() || host.starts_with('-'))
        {
            return refuse("the repository address has no valid host");
        }
        if url.username().starts_with('-') {
            return refuse("the user in the repository address begins with a hyphen");
        }
        if url.password().is_some() || (url.scheme() != "ssh" && !url.username().is_empty()) {
            return refuse("the repository address holds a user or password, which would end up in logs");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refuse("the repository address has a query or fragment");
        }
        let path = url.path().trim_start_matches('/');
        if path.is_empty() || path.starts_with('-') || url.path().to_ascii_lowercase().contains("%0a") {
            return refuse("the repository address has no valid path");
        }
        Ok(Self(url))
    }
}

/// `git@host:path` becomes `ssh://git@host/path`.
fn scp_to_ssh(text: &str) -> Option<String> {
    if text.contains("://") {
        return None;
    }
    let (user_host, path) = text.split_once(':')?;
    let (user, host) = user_host.split_once('@')?;
    let plain = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    (plain(user) && plain(host) && !path.starts_with(':'))
        .then(|| format!("ssh://{user}@{host}/{}", path.trim_start_matches('/')))
}

impl fmt::Display for RepoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RepoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for RepoUrl {
    type Error = RepoUrlError;

    fn try_from(text: String) -> Result<Self, RepoUrlError> {
        text.parse()
    }
}

impl From<RepoUrl> for String {
    fn from(url: RepoUrl) -> String {
        url.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_addresses_are_accepted() {
        for text in [
            "https://github.com/a/b.git",
            "https://github.com/a/b",
            "http://10.0.0.1:3000/a/b.git",
            "ssh://git@host:2222/a.git",
            "git@github.com:a/b.git",
        ] {
            text.parse::<RepoUrl>().unwrap();
        }
    }

    #[test]
    fn what_git_would_run_or_read_is_refused() {
        for text in [
            "",
            "-u./x",
            "--upload-pack=touch x",
            "file:///etc",
            "/srv/repo",
            "../repo",
            "ext::sh -c touch% x",
            "fd::3",
            "https:///h",
            "https://user:pw@host/a",
            "https://tok@host/a",
            "ssh://-oProxyCommand=x/y",
            "git://host/a",
            "https://host",
            "https://host/a\nb",
            "https://h/a%0ahost=x",
            "EXT::x",
            "FILE:///x",
            "git@host:-x",
            "host:path",
        ] {
            assert!(text.parse::<RepoUrl>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn addresses_of_one_repository_share_an_identity() {
        let identity = |text: &str| text.parse::<RepoUrl>().unwrap().identity();
        assert_eq!(identity("https://GitHub.com/Owner/Name.git"), "github.com/owner/name");
        assert_eq!(
            identity("git@github.com:owner/name.git"),
            identity("https://github.com/owner/name")
        );
    }
}
