//! The view of a revision that buildpacks get: the files below the context directory, by relative path.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use windlass_domain::{EntryKind, SourceTree};

/// Files that a buildpack looks into are small; what is beyond this is not read.
const READ_LIMIT_BYTES: usize = 1024 * 1024;

/// The files below a context directory. Made once: listing a tree walks all of it.
pub struct Tree<'a> {
    source: &'a dyn SourceTree,
    prefix: String,
    files: BTreeMap<String, EntryKind>,
    folders: BTreeSet<String>,
}

impl<'a> Tree<'a> {
    /// Lists the files below `context`, a relative directory (`""` for the root). Blocks.
    pub fn new(source: &'a dyn SourceTree, context: &str) -> io::Result<Self> {
        let prefix = match context_path(context) {
            path if path.is_empty() => path,
            path => format!("{path}/"),
        };
        let files: BTreeMap<String, EntryKind> = source
            .entries()?
            .into_iter()
            .filter_map(|entry| Some((entry.path.strip_prefix(&prefix)?.to_owned(), entry.kind)))
            .collect();
        let folders = files.keys().flat_map(|path| parents(path)).collect();
        Ok(Self {
            source,
            prefix,
            files,
            folders,
        })
    }

    /// Whether there is a file (or a link) at this path.
    pub fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Whether there is a file below this directory.
    pub fn has_folder(&self, path: &str) -> bool {
        self.folders.contains(path)
    }

    /// Whether there is no file at all.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The first of these paths that is a file.
    pub fn first_of<'p>(&self, paths: &[&'p str]) -> Option<&'p str> {
        paths.iter().copied().find(|path| self.has(path))
    }

    /// All paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The names directly below the root, directories with a `/` behind them, sorted.
    pub fn top_level(&self) -> Vec<String> {
        let names: BTreeSet<String> = self
            .files
            .keys()
            .map(|path| match path.split_once('/') {
                Some((folder, _)) => format!("{folder}/"),
                None => path.clone(),
            })
            .collect();
        names.into_iter().collect()
    }

    /// The text of a file, without a byte order mark; none if there is no such file. Bytes that are no UTF-8 are replaced.
    pub fn text(&self, path: &str) -> io::Result<Option<String>> {
        let bytes = self.source.read(&format!("{}{path}", self.prefix), READ_LIMIT_BYTES)?;
        Ok(bytes.map(|bytes| {
            String::from_utf8_lossy(&bytes)
                .trim_start_matches('\u{feff}')
                .to_owned()
        }))
    }
}

/// A context directory as a bare relative path: without `./`, doubled and closing slashes.
pub(crate) fn context_path(context: &str) -> String {
    let parts: Vec<&str> = context
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    parts.join("/")
}

fn parents(path: &str) -> Vec<String> {
    path.match_indices('/').map(|(at, _)| path[..at].to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::tree;

    #[test]
    fn a_context_directory_hides_the_rest() {
        let source = tree(&[("a/b/x", "1"), ("a/y", "2"), ("ab/z", "3")]);
        let view = Tree::new(&source, "./a//").unwrap();
        assert_eq!(view.top_level(), ["b/", "y"]);
        assert_eq!(view.text("b/x").unwrap().as_deref(), Some("1"));
        assert!(view.has_folder("b") && !view.has_folder("a"));
    }
}
