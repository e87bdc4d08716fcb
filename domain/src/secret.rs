//! A value that is never shown: neither by `Debug`, nor by a log line, nor by serialisation.

use std::fmt;

use zeroize::Zeroize;

/// Holds a plaintext secret. It has no `Display`, a redacted `Debug`, no `Serialize`, and is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: Zeroize = String>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes a plaintext into custody.
    pub const fn new(plaintext: T) -> Self {
        Self(plaintext)
    }

    /// The plaintext. Each call is a place to look at in a review.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<&str> for Secret<String> {
    fn from(plaintext: &str) -> Self {
        Self(plaintext.to_owned())
    }
}

/// Replaces known secret values in lines of log by `[redacted]`.
///
/// Values shorter than six characters are left alone: they would blank out ordinary words and protect nothing.
#[derive(Clone, Default)]
pub struct Redactor {
    values: Vec<String>,
}

impl Redactor {
    /// A redactor for these values; a value of several lines is redacted line by line.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a Secret<String>>) -> Self {
        let mut values: Vec<String> = values
            .into_iter()
            .flat_map(|secret| {
                secret
                    .expose()
                    .lines()
                    .map(str::trim)
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .filter(|value| value.len() >= 6)
            .collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        Self { values }
    }

    /// The line without any of the known values.
    pub fn redact(&self, line: &str) -> String {
        self.values.iter().fold(line.to_owned(), |line, value| {
            if line.contains(value.as_str()) {
                line.replace(value.as_str(), "[redacted]")
            } else {
                line
            }
        })
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} values)", self.values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", Secret::from("hunter22")), "Secret(…)");
    }

    #[test]
    fn known_values_are_redacted_longest_first() {
        let (short, long) = (Secret::from("abcdef"), Secret::from("abcdefgh"));
        let redactor = Redactor::new([&short, &long]);
        assert_eq!(redactor.redact("x abcdefgh y abcdef z"), "x [redacted] y [redacted] z");
    }

    #[test]
    fn short_values_are_left_alone() {
        let secret = Secret::from("true");
        assert_eq!(Redactor::new([&secret]).redact("it is true"), "it is true");
    }
}
