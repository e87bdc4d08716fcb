//! Walking a commit's tree under limits. A repository is hostile input: its trees may be huge, endless in depth, or name files
//! that would leave the place where they are unpacked.

use git2::{ObjectType, Odb, Oid, Repository, Tree};
use windlass_domain::{CommitSha, EntryKind};

use super::{Entry, TreeError};
use crate::git::printable;

/// More files than any sane revision has.
const MAX_ENTRIES: usize = 200_000;

/// Trees that may be walked: a tree takes no space in git when it repeats, so files alone do not bound the work.
const MAX_TREES: usize = 200_000;

/// A file is held in memory while it is read.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Linux' PATH_MAX, with room for the place where the tree is unpacked.
const MAX_PATH_BYTES: usize = 3072;

/// Linux' NAME_MAX.
const MAX_NAME_BYTES: usize = 255;

/// The file modes of git trees.
const MODE_TREE: i32 = 0o040_000;
const MODE_EXECUTABLE: i32 = 0o100_755;
const MODE_SYMLINK: i32 = 0o120_000;
const MODE_COMMIT: i32 = 0o160_000;

/// Where a submodule belongs.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) path: String,
    pub(super) commit: CommitSha,
}

/// What has been found so far, of a commit and of its submodules.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) entries: Vec<Entry>,
    pub(super) links: Vec<Link>,
    /// The time of the commit that was added last, in seconds since 1970.
    pub(super) time: u64,
    trees: usize,
    bytes: u64,
    max_bytes: u64,
}

impl Listing {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self {
            entries: Vec::new(),
            links: Vec::new(),
            time: 0,
            trees: 0,
            bytes: 0,
            max_bytes,
        }
    }

    /// Adds the files of a commit below `prefix`, which is empty or ends with a slash.
    pub(super) fn add_commit(
        &mut self,
        repository: &Repository,
        sha: &CommitSha,
        prefix: &str,
    ) -> Result<(), TreeError> {
        let commit = Oid::from_str(sha.as_str())
            .and_then(|oid| repository.find_commit(oid))
            .map_err(|_| TreeError::NoCommit(sha.clone()))?;
        self.time = u64::try_from(commit.time().seconds()).unwrap_or(0);
        let odb = repository.odb()?;
        let mut waiting = vec![(prefix.to_owned(), commit.tree_id())];
        while let Some((prefix, tree)) = waiting.pop() {
            self.trees += 1;
            if self.trees > MAX_TREES {
                return Err(TreeError::TooManyFiles {
                    max_entries: MAX_ENTRIES,
                });
            }
            waiting.extend(self.add_tree(&odb, &repository.find_tree(tree)?, &prefix)?);
        }
        Ok(())
    }

    /// Adds the files of one directory, and returns the directories in it.
    fn add_tree(&mut self, odb: &Odb<'_>, tree: &Tree<'_>, prefix: &str) -> Result<Vec<(String, Oid)>, TreeError> {
        let mut inside = Vec::new();
        for entry in tree {
            let path = child_path(prefix, entry.name_bytes())?;
            match entry.filemode() & 0o170_000 {
                MODE_TREE => inside.push((format!("{path}/"), entry.id())),
                MODE_COMMIT => self.add_link(path, entry.id())?,
                _ => self.add_file(odb, path, entry.filemode(), entry.id())?,
            }
        }
        Ok(inside)
    }

    fn add_link(&mut self, path: String, commit: Oid) -> Result<(), TreeError> {
        let commit = commit.to_string().parse().map_err(|_| TreeError::Submodule {
            path: path.clone(),
            why: "has no valid commit".to_owned(),
        })?;
        self.links.push(Link { path, commit });
        self.check_count()
    }

    fn add_file(&mut self, odb: &Odb<'_>, path: String, mode: i32, object: Oid) -> Result<(), TreeError> {
        let (size, kind) = odb.read_header(object)?;
        if kind != ObjectType::Blob {
            return Err(hostile(&path, "it is not a file"));
        }
        let size = size as u64;
        self.bytes = self.bytes.saturating_add(size);
        if size > MAX_FILE_BYTES {
            let max_bytes = MAX_FILE_BYTES;
            return Err(TreeError::FileTooLarge { path, max_bytes });
        }
        if self.bytes > self.max_bytes {
            let max_bytes = self.max_bytes;
            return Err(TreeError::TooLarge { max_bytes });
        }
        let kind = match mode {
            MODE_SYMLINK => EntryKind::Symlink,
            MODE_EXECUTABLE => EntryKind::Executable,
            _ => EntryKind::File,
        };
        self.entries.push(Entry {
            path,
            kind,
            size,
            object,
        });
        self.check_count()
    }

    fn check_count(&self) -> Result<(), TreeError> {
        if self.entries.len() + self.links.len() > MAX_ENTRIES {
            return Err(TreeError::TooManyFiles {
                max_entries: MAX_ENTRIES,
            });
        }
        Ok(())
    }

    /// Brings everything into order by path; two entries of one path are refused.
    pub(super) fn sort(&mut self) -> Result<(), TreeError> {
        self.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        self.links.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        match self.entries.windows(2).find(|pair| pair[0].path == pair[1].path) {
            Some(pair) => Err(hostile(&pair[0].path, "it is there twice")),
            None => Ok(()),
        }
    }
}

/// The path of an entry, if it may reach a file system.
fn child_path(prefix: &str, name: &[u8]) -> Result<String, TreeError> {
    let shown = || format!("{prefix}{}", String::from_utf8_lossy(name));
    let why = if name.is_empty() || name == b"." || name == b".." {
        "it is not a name"
    } else if name.contains(&b'/') || name.contains(&0) {
        "a name must not contain a slash or a zero byte"
    } else if name.eq_ignore_ascii_case(b".git") {
        "`.git` belongs to git itself"
    } else if name.len() > MAX_NAME_BYTES || prefix.len() + name.len() > MAX_PATH_BYTES {
        "it is too long"
    } else {
        match std::str::from_utf8(name) {
            Ok(name) => return Ok(format!("{prefix}{name}")),
            Err(_) => "it is not in UTF-8",
        }
    };
    Err(hostile(&shown(), why))
}

fn hostile(path: &str, why: &'static str) -> TreeError {
    let path = printable(path).chars().take(200).collect();
    TreeError::HostilePath { path, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        let long = vec![b'a'; 256];
        let names: [&[u8]; 10] = [
            b"",
            b".",
            b"..",
            b".git",
            b".GIT",
            b"a/b",
            b"/etc",
            b"a\0b",
            b"\xff\xfe",
            &long,
        ];
        for name in names {
            assert!(child_path("src/", name).is_err(), "{name:?} passed");
        }
        assert!(child_path(&"a/".repeat(1600), b"b").is_err());
    }

    #[test]
    fn odd_but_harmless_names_pass() {
        for name in ["a b", "-rf", "...", ".gitignore", "ü", "a\\b", "$(id)", "a\nb"] {
            assert_eq!(child_path("src/", name.as_bytes()).unwrap(), format!("src/{name}"));
        }
    }
}
