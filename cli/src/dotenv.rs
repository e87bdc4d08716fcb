//! Reads `.env` files: `KEY=value` lines with comments and quotes. Nothing is ever expanded: `$HOME` stays `$HOME`, so that no
//! value of this machine's environment gets into an app by accident.

use windlass_domain::ConfigKey;

/// A file that is not of this form, with the number of the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct DotenvError {
    line: usize,
    problem: String,
}

/// The variables in the file's order. A single-quoted value stands as it is; in double quotes `\n`, `\r`, `\t`, `\"`, `\\` and
/// `\$` are escapes; quoted values may span lines; an unquoted value ends at white space followed by `#`.
pub fn parse(text: &str) -> Result<Vec<(ConfigKey, String)>, DotenvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fail = |problem: String| DotenvError {
            line: index + 1,
            problem,
        };
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (key, raw) = line
            .split_once('=')
            .ok_or_else(|| fail("expected KEY=value".to_owned()))?;
        let key = key.trim().parse().map_err(|error| fail(format!("{error}")))?;
        let raw = raw.trim_start();
        let value = match raw.chars().next() {
            Some(quote @ ('\'' | '"')) => {
                let mut body = raw[1..].to_owned();
                loop {
                    if let Some(value) = quoted(&body, quote).map_err(fail)? {
                        break value;
                    }
                    let (_, more) = lines.next().ok_or_else(|| fail(format!("the {quote} is not closed")))?;
                    body.push('\n');
                    body.push_str(more);
                }
            }
            _ => unquoted(raw),
        };
        found.push((key, value));
    }
    Ok(found)
}

/// The value up to the closing quote; none if the quote is not closed yet.
fn quoted(body: &str, quote: char) -> Result<Option<String>, String> {
    let mut value = String::new();
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c == quote => {
                let rest = chars.as_str().trim_start();
                return if rest.is_empty() || rest.starts_with('#') {
                    Ok(Some(value))
                } else {
                    Err("there is text behind the closing quote".to_owned())
                };
            }
            '\\' if quote == '"' => match chars.next() {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some(c @ ('"' | '\\' | '$' | '\n')) => value.push(c),
                Some(other) => value.extend(['\\', other]),
                None => return Ok(None),
            },
            c => value.push(c),
        }
    }
    Ok(None)
}

fn unquoted(raw: &str) -> String {
    let end = raw
        .char_indices()
        .find(|&(at, c)| c == '#' && (at == 0 || raw[..at].ends_with(char::is_whitespace)))
        .map_or(raw.len(), |(at, _)| at);
    raw[..end].trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let pairs = parse(text).unwrap();
        pairs.into_iter().map(|(key, value)| (key.into(), value)).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn values_are_read_and_nothing_is_expanded() {
        let text =
            "# c\n\nA=1\nexport B = two words # c\nC='$HOME #x'\nD=\"a\\nb \\\"q\\\" ${HOME}\"\nE=\nF=a#b\nG=#c\n";
        assert_eq!(
            read(text),
            pairs(&[
                ("A", "1"),
                ("B", "two words"),
                ("C", "$HOME #x"),
                ("D", "a\nb \"q\" ${HOME}"),
                ("E", ""),
                ("F", "a#b"),
                ("G", ""),
            ])
        );
    }

    #[test]
    fn quoted_values_may_span_lines() {
        assert_eq!(
            read("KEY=\"-----BEGIN\nxyz\n-----END\"\nB=1"),
            pairs(&[("KEY", "-----BEGIN\nxyz\n-----END"), ("B", "1")])
        );
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let message = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(message("A=1\nnonsense"), "line 2: expected KEY=value");
        assert_eq!(message("A='x"), "line 1: the ' is not closed");
        assert!(message("A='x'y").starts_with("line 1: there is text"));
        assert!(message("PORT=1").contains("reserved"));
    }
}
