//! How an instance shows that it is ready, and later that it still lives.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A check of an instance: an HTTP request if there is a path, otherwise a TCP connect to its port. A process type without a
/// port counts as healthy while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCheck {
    /// An HTTP path that must answer with one of `status`.
    pub path: Option<String>,
    /// The statuses that count as healthy.
    pub status: StatusSet,
    /// The port that is checked, of process types other than `web`; `web` has the app's own.
    pub port: Option<u16>,
    /// Seconds between two checks of an instance that is healthy; 0: it is not checked again.
    pub interval_seconds: u32,
    /// Milliseconds that one check may take.
    pub timeout_ms: u32,
    /// Checks in a row that must fail before a healthy instance is replaced.
    pub retries: u32,
    /// Seconds that a new instance has to become healthy: until then, failed checks mean nothing.
    pub deadline_seconds: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            path: None,
            status: StatusSet::default(),
            port: None,
            interval_seconds: 10,
            timeout_ms: 2000,
            retries: 3,
            deadline_seconds: 60,
        }
    }
}

/// HTTP statuses, written as numbers and ranges: `200-399`, `200,204,301-308`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatusSet(Vec<(u16, u16)>);

/// A set may have so many numbers and ranges.
const MAX_RANGES: usize = 20;

impl StatusSet {
    /// Whether a status is one of them.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}

impl Default for StatusSet {
    fn default() -> Self {
        Self(vec![(200, 399)])
    }
}

impl FromStr for StatusSet {
    type Err = StatusSetError;

    fn from_str(text: &str) -> Result<Self, StatusSetError> {
        let wrong = || StatusSetError(text.chars().take(40).collect());
        let status = |word: &str| {
            let digits = word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit());
            let number = word
                .parse::<u16>()
                .ok()
                .filter(|number| digits && (100..=599).contains(number));
            number.ok_or_else(wrong)
        };
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (status(first.trim())?, status(last.trim())?);
            if first <= last { Ok((first, last)) } else { Err(wrong()) }
        };
        let ranges = text
            .split(',')
            .map(|part| range(part.trim()))
            .collect::<Result<Vec<_>, _>>()?;
        if ranges.len() <= MAX_RANGES {
            Ok(Self(ranges))
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for StatusSet {
    type Error = StatusSetError;

    fn try_from(text: String) -> Result<Self, StatusSetError> {
        text.parse()
    }
}

impl From<StatusSet> for String {
    fn from(set: StatusSet) -> Self {
        set.to_string()
    }
}

/// A text that is no set of statuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no set of HTTP statuses; write numbers from 100 to 599 and ranges of them, such as `200-399` or `200,204`"
)]
pub struct StatusSetError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_read_back() {
        for text in ["200-399", "200", "200,204,301-308"] {
            assert_eq!(text.parse::<StatusSet>().unwrap().to_string(), text);
        }
        assert_eq!(
            " 200 , 301 - 308".parse::<StatusSet>().unwrap().to_string(),
            "200,301-308"
        );
    }

    #[test]
    fn a_set_knows_its_members() {
        let set: StatusSet = "200,301-308".parse().unwrap();
        let members: Vec<u16> = (100..=599).filter(|status| set.contains(*status)).collect();
        assert_eq!(members, [200, 301, 302, 303, 304, 305, 306, 307, 308]);
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in [
            "",
            ",",
            "2xx",
            "99",
            "600",
            "399-200",
            "200-",
            "+200",
            "200;300",
            &"200,".repeat(30),
        ] {
            assert!(text.parse::<StatusSet>().is_err(), "{text}");
        }
    }
}
