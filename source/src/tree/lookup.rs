//! Finding a file by its path, through symbolic links that stay inside the tree.

use std::{collections::VecDeque, io};

use git2::Repository;
use windlass_domain::EntryKind;

use super::{CommitTree, Entry};

/// Links that are followed for one path, as many as Linux does.
const MAX_LINKS: usize = 40;

/// The longest target that is followed.
const MAX_TARGET_BYTES: u64 = 4096;

/// The file at `path`; none if there is none, or if a link leads out of the tree or in a circle.
pub(super) fn follow<'tree>(
    tree: &'tree CommitTree,
    repository: &Repository,
    path: &str,
) -> io::Result<Option<&'tree Entry>> {
    walk(tree, path, &mut |entry| {
        if entry.size > MAX_TARGET_BYTES {
            return Ok(None);
        }
        let blob = repository.find_blob(entry.object).map_err(io::Error::other)?;
        Ok(String::from_utf8(blob.content().to_vec()).ok())
    })
}

fn walk<'tree>(
    tree: &'tree CommitTree,
    path: &str,
    target_of: &mut dyn FnMut(&Entry) -> io::Result<Option<String>>,
) -> io::Result<Option<&'tree Entry>> {
    let mut waiting: VecDeque<String> = parts(path);
    let mut here: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(part) = waiting.pop_front() {
        if part == ".." {
            if here.pop().is_none() {
                return Ok(None);
            }
            continue;
        }
        here.push(part);
        let current = here.join("/");
        match tree.find(&current) {
            Some(entry) if entry.kind == EntryKind::Symlink => {
                links += 1;
                let target = if links > MAX_LINKS { None } else { target_of(entry)? };
                let Some(target) = target.filter(|target| !target.starts_with('/')) else {
                    return Ok(None);
                };
                here.pop();
                waiting = parts(&target).into_iter().chain(waiting).collect();
            }
            Some(entry) if waiting.is_empty() => return Ok(Some(entry)),
            None if tree.is_dir(&current) => {}
            _ => return Ok(None),
        }
    }
    Ok(None)
}

fn parts(path: &str) -> VecDeque<String> {
    path.split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn tree(files: &[(&str, EntryKind)]) -> CommitTree {
        let mut entries: Vec<Entry> = files
            .iter()
            .map(|&(path, kind)| Entry {
                path: path.to_owned(),
                kind,
                size: 1,
                object: git2::Oid::ZERO_SHA1,
            })
            .collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        CommitTree {
            repository: PathBuf::new(),
            entries,
            empty_dirs: Vec::new(),
            time: 0,
        }
    }

    /// Follows `path` in a tree of `a/file` and one link at `link`.
    fn found(path: &str, link: &str, target: &str) -> Option<String> {
        let tree = tree(&[
            ("a/file", EntryKind::File),
            ("b/other", EntryKind::File),
            (link, EntryKind::Symlink),
        ]);
        let mut target_of = |_: &Entry| Ok(Some(target.to_owned()));
        walk(&tree, path, &mut target_of)
            .unwrap()
            .map(|entry| entry.path.clone())
    }

    #[test]
    fn links_inside_the_tree_are_followed() {
        assert_eq!(found("l", "l", "a/file").as_deref(), Some("a/file"));
        assert_eq!(found("b/l", "b/l", "../a/file").as_deref(), Some("a/file"));
        assert_eq!(found("d/file", "d", "a").as_deref(), Some("a/file"));
        assert_eq!(found("./b/../a//file", "l", "x").as_deref(), Some("a/file"));
    }

    #[test]
    fn links_that_lead_out_or_round_are_as_good_as_missing() {
        for target in [
            "/etc/passwd",
            "../x",
            "b/../../x",
            "l",
            "nothing",
            "a",
            "a/file/x",
            "nothing/../a/file",
        ] {
            assert_eq!(found("l", "l", target), None, "{target}");
        }
        assert_eq!(found("../a/file", "l", "x"), None);
        assert_eq!(found("", "l", "x"), None);
    }
}
