//! Which Python: from .python-version, runtime.txt, pyproject.toml or Pipfile to `major.minor`, whose newest patch release the base
//! image has.
//!
//! Of PEP 440's specifiers this is the part that decides about minor versions: `>=`, `>`, `<=`, `<`, `==`, `~=`, `!=`, and Poetry's
//! `^` and `~`.

use crate::{InvalidFile, PlanError, Tree};

/// Minor versions of Python 3 that a range may choose, newest first.
const KNOWN: [u32; 6] = [14, 13, 12, 11, 10, 9];
/// The minor version when nothing asks for one, and the one that a range gets if it may.
const DEFAULT: u32 = 12;
/// Minor versions that may be asked for by number.
const BY_NUMBER: std::ops::RangeInclusive<u32> = 7..=20;
const NEXT: &str = "ask for a version such as `3.12` or a range such as `>=3.10`";

/// The version, such as `3.12`, and where it was asked for.
pub(crate) fn choose(tree: &Tree<'_>) -> Result<(String, String), PlanError> {
    for (file, prefix) in [(".python-version", ""), ("runtime.txt", "python-")] {
        let Some(text) = tree.text(file)? else {
            continue;
        };
        let wanted = text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with('#'))
            .unwrap_or_default();
        let minor = exact(wanted.strip_prefix(prefix).unwrap_or(wanted)).ok_or_else(|| {
            InvalidFile::new(
                file,
                Some(1),
                format!("`{}` is no known version of Python", shown(wanted)),
                NEXT,
            )
        })?;
        return Ok((format!("3.{minor}"), format!("{file} `{}`", shown(wanted))));
    }
    for (file, path) in [
        ("pyproject.toml", &["project", "requires-python"][..]),
        ("pyproject.toml", &["tool", "poetry", "dependencies", "python"]),
        ("Pipfile", &["requires", "python_full_version"]),
        ("Pipfile", &["requires", "python_version"]),
    ] {
        let Some(range) = value(tree, file, path)? else {
            continue;
        };
        let minor = of_range(&range).ok_or_else(|| {
            InvalidFile::new(
                file,
                None,
                format!("asks for Python `{}`, which no known version fits", shown(&range)),
                NEXT,
            )
        })?;
        return Ok((format!("3.{minor}"), format!("{file} `{}`", shown(&range))));
    }
    Ok((format!("3.{DEFAULT}"), "the default".to_owned()))
}

fn shown(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}

/// A string deep in a TOML file; a file that cannot be read says nothing here.
fn value(tree: &Tree<'_>, file: &str, path: &[&str]) -> Result<Option<String>, PlanError> {
    let table = tree
        .text(file)?
        .and_then(|text| text.parse::<toml::Table>().ok())
        .map(toml::Value::Table);
    let found = path
        .iter()
        .try_fold(table.as_ref(), |at, key| Some(at?.get(key)))
        .flatten();
    Ok(found.and_then(|value| value.as_str()).map(str::to_owned))
}

/// `3.12` or `3.12.4`.
fn exact(text: &str) -> Option<u32> {
    let (major, rest) = text.split_once('.')?;
    let mut rest = rest.split('.');
    let minor: u32 = rest.next()?.parse().ok()?;
    let patch_is_number = rest.next().is_none_or(|patch| patch.parse::<u32>().is_ok());
    (major == "3" && patch_is_number && rest.next().is_none() && BY_NUMBER.contains(&minor)).then_some(minor)
}

/// The default if it fits, otherwise the newest known version that does.
fn of_range(range: &str) -> Option<u32> {
    let alternatives: Vec<Vec<Bound>> = range.split("||").map(bounds).collect::<Option<_>>()?;
    let fits = |minor: &u32| {
        alternatives
            .iter()
            .any(|bounds| bounds.iter().all(|bound| bound.admits(*minor)))
    };
    [DEFAULT]
        .into_iter()
        .chain(KNOWN)
        .chain(BY_NUMBER.rev())
        .find(|minor| fits(minor))
}

fn bounds(text: &str) -> Option<Vec<Bound>> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(Bound::parse)
        .collect()
}

/// What one specifier says about minor versions of Python 3.
enum Bound {
    From(u32),
    UpTo(u32),
    Only(u32),
    Not(u32),
    Any,
    None,
}

impl Bound {
    fn parse(text: &str) -> Option<Self> {
        let version = text.trim_start_matches(['<', '>', '=', '~', '^', '!']);
        let operator = &text[..text.len() - version.len()];
        let version = version.trim();
        if version == "*" {
            return Some(Self::Any);
        }
        let mut parts = version.split('.');
        let major: u32 = parts.next()?.parse().ok()?;
        let minor: Option<u32> = match parts.next() {
            None | Some("*") => None,
            Some(number) => Some(number.parse().ok()?),
        };
        let is_first_patch = parts.all(|part| part == "*" || part.parse() == Ok(0));
        Some(match (major, operator, minor) {
            (3, "==" | "===" | "" | "~", Some(minor)) => Self::Only(minor),
            // `~=3.10` allows 3.11, `~=3.10.2` does not.
            (3, "~=", Some(minor)) if version.matches('.').count() > 1 => Self::Only(minor),
            (3, ">=" | "^" | "~=", Some(minor)) => Self::From(minor),
            (3, ">", Some(minor)) => Self::From(minor + u32::from(version.ends_with(".*"))),
            (3, "<", Some(minor)) if is_first_patch => minor.checked_sub(1).map_or(Self::None, Self::UpTo),
            (3, "<" | "<=", Some(minor)) => Self::UpTo(minor),
            (3, "!=", Some(minor)) if version.ends_with(".*") => Self::Not(minor),
            (_, "!=", _) => Self::Any,
            (3, "<", None) => Self::None,
            (3, _, None) => Self::Any,
            (0..=2, ">=" | ">", _) | (4.., "<" | "<=", _) => Self::Any,
            (_, "==" | "===" | "" | "~" | "~=" | "^" | "<" | "<=" | ">" | ">=", _) => Self::None,
            _ => return None,
        })
    }

    const fn admits(&self, minor: u32) -> bool {
        match *self {
            Self::From(low) => minor >= low,
            Self::UpTo(high) => minor <= high,
            Self::Only(only) => minor == only,
            Self::Not(not) => minor != not,
            Self::Any => true,
            Self::None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_prefer_the_default_and_then_the_newest() {
        for (range, minor) in [
            (">=3.10", Some(12)),
            (">=3.13", Some(14)),
            (">=3.9,<3.12", Some(11)),
            ("<3.12", Some(11)),
            ("<=3.11", Some(11)),
            ("==3.11.*", Some(11)),
            ("==3.10.4", Some(10)),
            ("~=3.10", Some(12)),
            ("~=3.10.2", Some(10)),
            ("^3.11", Some(12)),
            ("~3.11", Some(11)),
            ("3.11", Some(11)),
            (">=3.10,!=3.12.*", Some(14)),
            ("*", Some(12)),
            (">=3", Some(12)),
            (">=2.7", Some(12)),
            (">=3.8,<4.0", Some(12)),
            ("^2.7", None),
            ("<3", None),
            (">=3.99", None),
            ("newest", None),
        ] {
            assert_eq!(of_range(range), minor, "{range}");
        }
    }

    #[test]
    fn versions_in_files_of_their_own_are_exact() {
        for (text, minor) in [
            ("3.12", Some(12)),
            ("3.11.9", Some(11)),
            ("2.7", None),
            ("pypy3.10", None),
            ("3", None),
        ] {
            assert_eq!(exact(text), minor, "{text}");
        }
    }
}
