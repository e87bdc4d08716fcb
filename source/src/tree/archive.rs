//! A tree as a tar: directories before what is in them, owner root, one time for all, so that equal trees are equal bytes.

use std::{
    collections::HashSet,
    io::{self, Write},
};

use git2::Repository;
use tar::{Builder, EntryType, Header};
use windlass_domain::{EntryKind, ExtraFile};

use super::{CommitTree, Entry};

/// The longest link target that fits a tar header.
const HEADER_LINK_BYTES: usize = 100;

/// Collects small writes.
const BUFFER_BYTES: usize = 128 * 1024;

/// See [`windlass_domain::SourceTree::write_tar`]. A context that is not a directory of the tree is an error of kind
/// `NotFound`.
pub(super) fn write(
    tree: &CommitTree,
    context: &str,
    keep: &(dyn Fn(&str) -> bool + Send + Sync),
    extra: &[ExtraFile],
    out: &mut dyn Write,
) -> io::Result<()> {
    let root = context_prefix(tree, context)?;
    let mut archive = Archive::new(tree, out);
    for entry in &tree.entries {
        let relative = entry.path.strip_prefix(&root).filter(|path| keep(path));
        if let Some(path) = relative.filter(|path| !is_replaced(path, extra)) {
            archive.add_entry(path, entry)?;
        }
    }
    for dir in &tree.empty_dirs {
        let relative = dir.strip_prefix(&root).filter(|path| keep(path));
        if let Some(path) = relative.filter(|path| !is_replaced(path, extra)) {
            archive.add_dir(path)?;
        }
    }
    for file in extra {
        archive.add_content(&file.path, 0o644, &file.content)?;
    }
    archive.finish()
}

/// The context as a prefix of paths: empty, or ending with a slash.
fn context_prefix(tree: &CommitTree, context: &str) -> io::Result<String> {
    let parts: Vec<&str> = context
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    let dir = parts.join("/");
    if dir.is_empty() {
        return Ok(dir);
    }
    if !tree.is_dir(&dir) {
        let message = format!("the revision has no directory `{dir}`");
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    Ok(dir + "/")
}

/// Whether an extra file takes the place of this one: the same path, or a path that one of them would need as a directory.
fn is_replaced(path: &str, extra: &[ExtraFile]) -> bool {
    let above = |dir: &str, path: &str| path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
    extra
        .iter()
        .any(|file| file.path == path || above(path, &file.path) || above(&file.path, path))
}

struct Archive<'a> {
    tar: Builder<io::BufWriter<&'a mut dyn Write>>,
    tree: &'a CommitTree,
    repository: Option<Repository>,
    dirs: HashSet<String>,
}

impl<'a> Archive<'a> {
    fn new(tree: &'a CommitTree, out: &'a mut dyn Write) -> Self {
        Self {
            tar: Builder::new(io::BufWriter::with_capacity(BUFFER_BYTES, out)),
            tree,
            repository: None,
            dirs: HashSet::new(),
        }
    }

    fn add_entry(&mut self, path: &str, entry: &Entry) -> io::Result<()> {
        let repository = match self.repository.take() {
            Some(repository) => repository,
            None => self.tree.open()?,
        };
        let blob = repository.find_blob(entry.object).map_err(io::Error::other)?;
        match entry.kind {
            EntryKind::Symlink => self.add_link(path, blob.content())?,
            EntryKind::File => self.add_content(path, 0o644, blob.content())?,
            EntryKind::Executable => self.add_content(path, 0o755, blob.content())?,
        }
        drop(blob);
        self.repository = Some(repository);
        Ok(())
    }

    fn add_content(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.add_parents(path)?;
        let mut header = self.header(EntryType::Regular, mode);
        header.set_size(content.len() as u64);
        self.tar.append_data(&mut header, path, content)
    }

    /// The target is kept byte for byte, wherever it points: the build sees what a checkout would have.
    fn add_link(&mut self, path: &str, target: &[u8]) -> io::Result<()> {
        self.add_parents(path)?;
        let mut header = self.header(EntryType::Symlink, 0o777);
        if target.len() < HEADER_LINK_BYTES {
            header.set_link_name_literal(target)?;
            return self.tar.append_data(&mut header, path, io::empty());
        }
        let target = std::str::from_utf8(target).map_err(|_| io::Error::other("a link's target is not in UTF-8"))?;
        self.tar.append_link(&mut header, path, target)
    }

    fn add_dir(&mut self, path: &str) -> io::Result<()> {
        self.add_parents(path)?;
        if self.dirs.insert(path.to_owned()) {
            let mut header = self.header(EntryType::Directory, 0o755);
            self.tar.append_data(&mut header, format!("{path}/"), io::empty())?;
        }
        Ok(())
    }

    fn add_parents(&mut self, path: &str) -> io::Result<()> {
        match path.rsplit_once('/') {
            Some((parent, _)) if !self.dirs.contains(parent) => self.add_dir(parent),
            _ => Ok(()),
        }
    }

    fn header(&self, kind: EntryType, mode: u32) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(self.tree.time);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        header
    }

    fn finish(self) -> io::Result<()> {
        self.tar.into_inner()?.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extra_file_replaces_what_is_in_its_way() {
        let extra = [ExtraFile {
            path: "a/b".to_owned(),
            content: Vec::new(),
        }];
        for path in ["a/b", "a", "a/b/c"] {
            assert!(is_replaced(path, &extra), "{path}");
        }
        for path in ["a/c", "ab", "a/bc"] {
            assert!(!is_replaced(path, &extra), "{path}");
        }
    }
}
