//! Releases: `v1`, `v2`, … of an app. A release is never updated.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::ProcessType;

/// The number of a release within its app, written `v7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReleaseVersion(pub u32);

impl fmt::Display for ReleaseVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl FromStr for ReleaseVersion {
    type Err = ReleaseVersionError;

    /// Accepts `v7` and `7`.
    fn from_str(text: &str) -> Result<Self, ReleaseVersionError> {
        match text.strip_prefix('v').unwrap_or(text).parse::<u32>() {
            Ok(number) if number > 0 => Ok(Self(number)),
            _ => Err(ReleaseVersionError(text.chars().take(40).collect())),
        }
    }
}

/// A text that is no release version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a release; use a version such as `v3`, as `windlass releases` lists them")]
pub struct ReleaseVersionError(String);

/// One process type of a release and how it is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessSpec {
    /// Its name.
    pub process: ProcessType,
    /// How it is started; none: the image's own entry point and command.
    pub command: Option<ProcessCommand>,
}

/// How a process is started inside its container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessCommand {
    /// A line of a Procfile, run by the *container's* `/bin/sh -c`: it is the user's own code in the user's own container.
    Shell(String),
    /// An argument vector.
    Exec(Vec<String>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_read_with_and_without_the_letter() {
        assert_eq!("v7".parse(), Ok(ReleaseVersion(7)));
        assert_eq!("7".parse(), Ok(ReleaseVersion(7)));
        assert!("v0".parse::<ReleaseVersion>().is_err());
        assert!("latest".parse::<ReleaseVersion>().is_err());
    }
}
