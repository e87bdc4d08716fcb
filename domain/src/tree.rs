//! What a build sees of a revision: a tree of files that is read from git objects, without a checkout on disk.

use std::io;

/// The kind of an entry of a tree, with what its kind carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A plain file.
    File,
    /// A file with the executable bit.
    Executable,
    /// A symbolic link; its content is its target.
    Symlink,
}

/// One file of a tree. Directories are implied by paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// Relative to the root, with `/` between parts, never `..`, never absolute.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of its content.
    pub size: u64,
}

/// A file that a build adds to the context, such as a generated Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraFile {
    /// Relative to the root of the context.
    pub path: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// A revision's files. Reading blocks: call it from a blocking thread.
pub trait SourceTree: Send + Sync {
    /// All files, sorted by path.
    fn entries(&self) -> io::Result<Vec<TreeEntry>>;

    /// The content of a file, at most `limit_bytes` of it; none if there is no such file. A symbolic link inside the tree is
    /// followed; one that leads out of it is as good as missing.
    fn read(&self, path: &str, limit_bytes: usize) -> io::Result<Option<Vec<u8>>>;

    /// Writes the files below `context` (the root for `""`) as a tar with paths relative to it. `keep` decides, by relative path,
    /// which entries go in. `extra` files are added last and replace files of the same path.
    fn write_tar(
        &self,
        context: &str,
        keep: &(dyn Fn(&str) -> bool + Send + Sync),
        extra: &[ExtraFile],
        out: &mut dyn io::Write,
    ) -> io::Result<()>;
}
