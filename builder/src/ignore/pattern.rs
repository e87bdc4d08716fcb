//! One pattern: the syntax of Go's `filepath.Match` (`*`, `?`, `[a-z]`, `\`) with `**` for any number of directories.

/// A pattern, cleaned and ready to match.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    /// Whether it begins with `!`: what matches is kept after all.
    pub(crate) exception: bool,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone)]
enum Token {
    /// This character.
    Char(char),
    /// `?`: any character but `/`.
    AnyChar,
    /// `*`: any characters but `/`.
    AnyName,
    /// `**` at the end: any characters.
    Anything,
    /// `**` and `**/` before something: any number of whole directories.
    AnyFolders,
    /// `[…]`: one character of these ranges, or with `^` none of them.
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Pattern {
    /// Reads a trimmed, non-empty line; none if it is not valid.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (exception, text) = match line.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        if exception && text.is_empty() {
            return None;
        }
        let cleaned = clean(text);
        let cleaned = match cleaned.strip_prefix('/') {
            Some(rest) if !rest.is_empty() => rest,
            _ => cleaned.as_str(),
        };
        Some(Self {
            exception,
            tokens: tokens(cleaned)?,
        })
    }

    /// Whether it matches the path or one of the directories above it.
    pub(crate) fn matches_or_parent(&self, path: &str) -> bool {
        if self.matches(path) {
            return true;
        }
        path.match_indices('/').any(|(at, _)| self.matches(&path[..at]))
    }

    fn matches(&self, path: &str) -> bool {
        let path: Vec<char> = path.chars().collect();
        reached(&self.tokens, &path)
    }
}

/// Whether the tokens match the whole path. Keeps the set of positions that are reachable after each token, so that the time is the
/// product of both lengths whatever the pattern.
fn reached(tokens: &[Token], path: &[char]) -> bool {
    let mut reachable = vec![false; path.len() + 1];
    reachable[0] = true;
    for token in tokens {
        reachable = after(token, &reachable, path);
    }
    reachable[path.len()]
}

fn after(token: &Token, from: &[bool], path: &[char]) -> Vec<bool> {
    let mut to = vec![false; from.len()];
    match token {
        Token::AnyName | Token::Anything => {
            let stops_at_slash = matches!(token, Token::AnyName);
            let mut open = false;
            for at in 0..from.len() {
                let crossed_slash = at > 0 && path[at - 1] == '/';
                open = from[at] || (open && !(stops_at_slash && crossed_slash));
                to[at] = open;
            }
        }
        Token::AnyFolders => {
            let mut open = false;
            for at in 0..from.len() {
                to[at] = from[at] || (open && path[at - 1] == '/');
                open |= from[at];
            }
        }
        single => {
            for (at, &c) in path.iter().enumerate() {
                to[at + 1] = from[at] && single.takes(c);
            }
        }
    }
    to
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::AnyChar => c != '/',
            Self::Class { negated, ranges } => ranges.iter().any(|&(low, high)| (low..=high).contains(&c)) != *negated,
            Self::AnyName | Self::Anything | Self::AnyFolders => false,
        }
    }
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                match chars.peek() {
                    Some(_) => Token::AnyFolders,
                    None => Token::Anything,
                }
            }
            '*' => Token::AnyName,
            '?' => Token::AnyChar,
            '[' => class(&mut chars)?,
            '\\' => Token::Char(chars.next()?),
            c => Token::Char(c),
        });
    }
    Some(tokens)
}

/// The rest of a class after its `[`.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Some(Token::Class { negated, ranges });
        }
        let low = class_char(chars)?;
        let high = match chars.next_if_eq(&'-') {
            Some(_) => class_char(chars)?,
            None => low,
        };
        ranges.push((low, high));
    }
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '\\' => chars.next(),
        '-' | ']' => None,
        c => Some(c),
    }
}

/// Go's `filepath.Clean`: one slash between parts, no `.`, `..` taken back where there is something to take back.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|&last| last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.join("/")) {
        (true, joined) => format!("/{joined}"),
        (false, joined) if joined.is_empty() => ".".to_owned(),
        (false, joined) => joined,
    }
}
