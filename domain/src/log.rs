//! Lines of log, of builds and of instances.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Where a line of a deployment's log comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    /// Windlass itself: headings (`-----> …`), results (`=====> …`) and errors (` !     …`).
    Windlass,
    /// The build.
    Build,
    /// The release command, or an instance that is being started.
    App,
}

impl LogSource {
    /// The word in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Windlass => "windlass",
            Self::Build => "build",
            Self::App => "app",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Windlass, Self::Build, Self::App]
            .into_iter()
            .find(|source| source.as_str() == word)
    }
}

/// One line of a deployment's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Counts from 1 within the deployment, without gaps.
    pub seq: i64,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// Where it comes from.
    pub source: LogSource,
    /// The text, without its line end and without control characters other than colour.
    pub text: String,
}

/// Makes a line of hostile output safe to keep and to show: no line ends, no control characters but tab and colour
/// sequences (`ESC [ … m`), at most `max_chars` characters.
pub fn clean_line(raw: &str, max_chars: usize) -> String {
    let mut out = String::with_capacity(raw.len().min(max_chars));
    let mut kept = 0;
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        if kept >= max_chars {
            out.push('…');
            break;
        }
        match c {
            '\t' => out.push('\t'),
            '\u{1b}' => copy_colour(&mut chars, &mut out),
            // A carriage return overwrites the line: what counts is what stands after it.
            '\r' if chars.peek().is_some() => {
                out.clear();
                kept = 0;
                continue;
            }
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => continue,
            c => out.push(c),
        }
        kept += 1;
    }
    out
}

/// After an escape character: keeps a colour sequence, swallows any other CSI or OSC sequence.
fn copy_colour(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            let mut parameters = String::new();
            for c in chars.by_ref() {
                if c.is_ascii_digit() || c == ';' {
                    parameters.push(c);
                    continue;
                }
                if c == 'm' && parameters.len() <= 32 {
                    out.push_str("\u{1b}[");
                    out.push_str(&parameters);
                    out.push('m');
                }
                if !('\u{20}'..='\u{3f}').contains(&c) {
                    break;
                }
            }
        }
        Some(']') => {
            chars.next();
            for c in chars.by_ref() {
                if matches!(c, '\u{7}' | '\u{1b}' | '\u{9c}') {
                    break;
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_stays_and_control_goes() {
        assert_eq!(
            clean_line("\u{1b}[31mred\u{1b}[0m \u{1b}[2Jx\u{7}\0y", 100),
            "\u{1b}[31mred\u{1b}[0m xy"
        );
        assert_eq!(clean_line("a\u{1b}]52;c;aGk=\u{7}b", 100), "ab");
    }

    #[test]
    fn a_carriage_return_overwrites() {
        assert_eq!(clean_line("10%\r20%\r30%", 100), "30%");
        assert_eq!(clean_line("text\r", 100), "text");
    }

    #[test]
    fn a_long_line_is_cut_with_a_sign() {
        assert_eq!(clean_line("abcdef", 3), "abc…");
    }
}
