//! Which Node.js: from `engines.node`, `.nvmrc` or `.node-version` to a major version, whose newest release the base image has.
//!
//! Of npm's range syntax this is the part that decides about majors: `18`, `18.x`, `^18.2`, `~18`, `>=18 <23`, `18 - 20`, `||`. Minor
//! and patch versions only count where they move a bound to another major.

use super::{PACKAGE_JSON, package_json::PackageJson};
use crate::{InvalidFile, PlanError, Tree};

/// Majors that a range may choose, newest first; even ones are the releases with long support.
const KNOWN: [u32; 5] = [24, 22, 20, 18, 16];
/// The major when nothing asks for one.
const DEFAULT: u32 = 22;
/// Majors that may be asked for by number.
const BY_NUMBER: std::ops::RangeInclusive<u32> = 12..=40;
/// Names of the long-term releases, as nvm has them.
const CODENAMES: [(&str, u32); 5] = [
    ("krypton", 24),
    ("jod", 22),
    ("iron", 20),
    ("hydrogen", 18),
    ("gallium", 16),
];

/// The major version and where it was asked for.
pub(crate) fn major(tree: &Tree<'_>, package: &PackageJson) -> Result<(u32, String), PlanError> {
    let next = "ask for a version such as `22` or a range such as `>=20`";
    if let Some(range) = package.engines.node.as_deref().filter(|range| !range.trim().is_empty()) {
        let shown: String = range.chars().take(60).flat_map(char::escape_debug).collect();
        let major = of_range(range).ok_or_else(|| {
            InvalidFile::new(
                PACKAGE_JSON,
                None,
                format!("`engines.node` is `{shown}`, which no known Node.js fits"),
                next,
            )
        })?;
        return Ok((major, format!("engines.node `{shown}`")));
    }
    for file in [".nvmrc", ".node-version"] {
        let Some(text) = tree.text(file)? else {
            continue;
        };
        let wanted = text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with('#'))
            .unwrap_or_default();
        let shown: String = wanted.chars().take(60).flat_map(char::escape_debug).collect();
        let major = of_name(wanted).ok_or_else(|| {
            InvalidFile::new(file, Some(1), format!("`{shown}` is no known version of Node.js"), next)
        })?;
        return Ok((major, format!("{file} `{shown}`")));
    }
    Ok((DEFAULT, "the default".to_owned()))
}

/// A version or a name, as nvm understands it.
fn of_name(name: &str) -> Option<u32> {
    match name {
        "node" | "stable" | "current" | "latest" => KNOWN.first().copied(),
        "lts/*" | "lts" => Some(DEFAULT),
        _ => match name.strip_prefix("lts/") {
            Some(codename) => CODENAMES
                .iter()
                .find(|(own, _)| own.eq_ignore_ascii_case(codename))
                .map(|&(_, major)| major),
            None => of_range(name),
        },
    }
}

/// The newest known major that some version in the range has.
fn of_range(range: &str) -> Option<u32> {
    let alternatives: Vec<Majors> = range.split("||").map(majors).collect::<Option<_>>()?;
    let fits = |major: &u32| alternatives.iter().any(|majors| majors.contains(*major));
    KNOWN.into_iter().find(|major| fits(major)).or_else(|| {
        // Odd majors only when nothing else fits, such as `21`.
        BY_NUMBER
            .rev()
            .find(|major| fits(major) && alternatives.iter().any(|majors| majors.low == majors.high))
    })
}

/// The majors from `low` to `high`.
#[derive(Debug, Clone, Copy)]
struct Majors {
    low: u32,
    high: u32,
}

impl Majors {
    const ALL: Self = Self { low: 0, high: u32::MAX };

    const fn contains(self, major: u32) -> bool {
        self.low <= major && major <= self.high
    }

    fn and(self, other: Self) -> Self {
        Self {
            low: self.low.max(other.low),
            high: self.high.min(other.high),
        }
    }
}

/// One alternative of a range: comparators that all hold, or a hyphen range.
fn majors(alternative: &str) -> Option<Majors> {
    if let Some((low, high)) = alternative.split_once(" - ") {
        return Some(comparator(">=", low.trim())?.and(comparator("<=", high.trim())?));
    }
    let mut all = Majors::ALL;
    let mut operator = String::new();
    for word in alternative.split_whitespace() {
        let version = word.trim_start_matches(['<', '>', '=', '^', '~']);
        operator.push_str(&word[..word.len() - version.len()]);
        if !version.is_empty() {
            // An operator may stand apart from its version.
            all = all.and(comparator(&std::mem::take(&mut operator), version)?);
        }
    }
    (operator.is_empty() && all.low <= all.high).then_some(all)
}

fn comparator(operator: &str, version: &str) -> Option<Majors> {
    let version = version.trim_start_matches(['v', 'V', '=']);
    let version = version.split(['-', '+']).next()?;
    let mut parts = version.split('.');
    let major = match parts.next()? {
        "*" | "x" | "X" | "" | "latest" => return Some(Majors::ALL),
        number => number.parse::<u32>().ok()?,
    };
    let rest: Vec<Option<u32>> = parts
        .map(|part| match part {
            "*" | "x" | "X" => Some(None),
            number => number.parse().ok().map(Some),
        })
        .collect::<Option<_>>()?;
    let is_first_of_major = rest.iter().all(|part| part.is_none_or(|number| number == 0));
    let is_whole_major = rest.iter().all(Option::is_none);
    Some(match operator {
        "" | "=" | "^" | "~" | "~>" => Majors {
            low: major,
            high: major,
        },
        ">=" => Majors {
            low: major,
            ..Majors::ALL
        },
        ">" => Majors {
            low: if is_whole_major { major.checked_add(1)? } else { major },
            ..Majors::ALL
        },
        "<" => Majors {
            high: if is_first_of_major {
                major.checked_sub(1)?
            } else {
                major
            },
            ..Majors::ALL
        },
        "<=" => Majors {
            high: major,
            ..Majors::ALL
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_choose_the_newest_major_that_fits() {
        for (range, major) in [
            ("22", Some(22)),
            ("v20.11.1", Some(20)),
            ("20.x", Some(20)),
            ("18.*", Some(18)),
            ("^18.17.0", Some(18)),
            ("~20.9", Some(20)),
            ("21", Some(21)),
            (">=18", Some(24)),
            (">= 18", Some(24)),
            (">18", Some(24)),
            (">=18.0.0 <21", Some(20)),
            ("<20", Some(18)),
            ("<20.5.0", Some(20)),
            ("<=20", Some(20)),
            ("18 - 20", Some(20)),
            ("^16 || ^18 || >=20 <23", Some(22)),
            ("*", Some(24)),
            ("x", Some(24)),
            (">=99", None),
            (">=20 <18", None),
            ("twenty", None),
            ("^", None),
            ("22; rm", None),
        ] {
            assert_eq!(of_range(range), major, "{range}");
        }
    }

    #[test]
    fn names_of_nvm_are_known() {
        for (name, major) in [
            ("lts/*", Some(22)),
            ("lts/iron", Some(20)),
            ("node", Some(24)),
            ("lts/nothing", None),
        ] {
            assert_eq!(of_name(name), major, "{name}");
        }
    }
}
