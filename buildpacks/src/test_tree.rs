//! A tree in memory, for tests.

use std::{collections::BTreeMap, io};

use windlass_domain::{EntryKind, ExtraFile, SourceTree, TreeEntry};

/// Files by path.
pub(crate) struct MemoryTree(BTreeMap<String, String>);

/// A tree of these files.
pub(crate) fn tree(files: &[(&str, &str)]) -> MemoryTree {
    MemoryTree(
        files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect(),
    )
}

/// A tree of a directory on disk.
pub(crate) fn folder(path: &std::path::Path) -> MemoryTree {
    let mut files = BTreeMap::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let entry = entry.unwrap().path();
            if entry.is_dir() {
                waiting.push(entry);
            } else {
                let name = entry.strip_prefix(path).unwrap().to_str().unwrap().to_owned();
                files.insert(name, std::fs::read_to_string(&entry).unwrap());
            }
        }
    }
    MemoryTree(files)
}

impl SourceTree for MemoryTree {
    fn entries(&self) -> io::Result<Vec<TreeEntry>> {
        let entry = |(path, text): (&String, &String)| TreeEntry {
            path: path.clone(),
            kind: EntryKind::File,
            size: text.len() as u64,
        };
        Ok(self.0.iter().map(entry).collect())
    }

    fn read(&self, path: &str, limit_bytes: usize) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.get(path).map(|text| text.bytes().take(limit_bytes).collect()))
    }

    fn write_tar(
        &self,
        _context: &str,
        _keep: &(dyn Fn(&str) -> bool + Send + Sync),
        _extra: &[ExtraFile],
        _out: &mut dyn io::Write,
    ) -> io::Result<()> {
        Err(io::Error::other("planning never writes a tar"))
    }
}
