//! `.dockerignore` as Docker itself reads it (<https://docs.docker.com/build/concepts/context/#dockerignore-files>), which is not as
//! git reads `.gitignore`: patterns are anchored at the root of the context, and the last one that matches decides.

mod pattern;

use pattern::Pattern;

/// A file with a broken pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: `{pattern}` is no valid pattern")]
pub struct IgnoreError {
    /// Counts from 1.
    pub line: usize,
    /// The pattern.
    pub pattern: String,
}

/// The rules of a `.dockerignore`.
#[derive(Debug, Clone, Default)]
pub struct IgnoreRules {
    patterns: Vec<Pattern>,
}

impl IgnoreRules {
    /// Reads a file of rules. Empty lines and lines that begin with `#` are passed over.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let mut patterns = Vec::new();
        for (index, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            // Comments are recognised before trimming, as Docker does it: ` # x` is a pattern.
            let line = raw.trim();
            if raw.starts_with('#') || line.is_empty() {
                continue;
            }
            let invalid = || IgnoreError {
                line: index + 1,
                pattern: line.to_owned(),
            };
            patterns.push(Pattern::parse(line).ok_or_else(invalid)?);
        }
        Ok(Self { patterns })
    }

    /// The rules with more of them behind, from a list of patterns; one that is not valid is passed over.
    #[must_use]
    pub fn and(mut self, patterns: &[String]) -> Self {
        self.patterns
            .extend(patterns.iter().filter_map(|text| Pattern::parse(text)));
        self
    }

    /// Whether the file at this path (relative, with `/` between parts) is left out of the context: whether the last pattern that
    /// matches it or one of its parents is no exception (`!`).
    pub fn leaves_out(&self, path: &str) -> bool {
        let mut out = false;
        for pattern in &self.patterns {
            // An exception can only matter to what is out, and a rule only to what is in.
            if pattern.exception == out && pattern.matches_or_parent(path) {
                out = !out;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests;
