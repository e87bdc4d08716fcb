//! Names that Windlass does not know: most likely a known one that is misspelt.

use super::KEYS;

/// Variables of Windlass that are no keys: the command line's own, which may be set for whoever runs the engine, too, and what the
/// engine sets for its own children.
const OTHERS: [&str; 6] = [
    "WINDLASS_CONFIG",
    "WINDLASS_URL",
    "WINDLASS_TOKEN",
    "WINDLASS_APP",
    "WINDLASS_HOOK_SOCKET",
    "WINDLASS_PUSH_TICKET",
];

/// A sentence for each environment variable that looks like one of Windlass and is none. No problem, only a warning: the next
/// version may know it, or the last one did.
pub fn unknown_variables(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let known = || KEYS.iter().map(|key| key.env).chain(OTHERS);
    let mut unknown: Vec<String> = names
        .into_iter()
        .filter(|name| name.starts_with("WINDLASS_") && known().all(|known| known != name))
        .collect();
    unknown.sort_unstable();
    let told = |name: String| {
        let nearest = nearest(&name, known()).unwrap_or_default();
        format!("{name}: is no variable of Windlass; did you mean `{nearest}`?")
    };
    unknown.into_iter().map(told).collect()
}

/// The known name that takes the fewest edits.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.min_by_key(|known| distance(known, name))
}

/// The number of single-character edits between two short texts (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let cost = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_variable_is_told_with_the_nearest_known_one() {
        let names = [
            "WINDLASS_CONCURENT_BUILDS",
            "PATH",
            "WINDLASS_TOKEN",
            "WINDLASS_DATA_DIR",
        ];
        let told = unknown_variables(names.map(str::to_owned));
        assert_eq!(
            told,
            ["WINDLASS_CONCURENT_BUILDS: is no variable of Windlass; did you mean `WINDLASS_CONCURRENT_BUILDS`?"]
        );
    }
}
