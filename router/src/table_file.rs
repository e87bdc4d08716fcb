//! The last applied table on disk, so that the router serves at once after a restart, with nobody to ask.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use windlass_domain::RouteTable;

/// Reads the table. A file that is missing, unreadable or no table is an empty table: the engine will send a new one, and a
/// router that does not start serves nobody.
pub(crate) fn read(path: &Path) -> RouteTable {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tracing::info!(path = %path.display(), "no route table on disk; starting without routes");
            return RouteTable::default();
        }
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "the route table on disk cannot be read; starting without routes");
            return RouteTable::default();
        }
    };
    serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::error!(path = %path.display(), %error, "the route table on disk is damaged; starting without routes");
        RouteTable::default()
    })
}

/// Replaces the file in one step: whoever reads it sees the old table or the new one, also after a power cut.
pub(crate) fn write(path: &Path, table: &RouteTable) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new().prefix(".routes-").tempfile_in(folder)?;
    file.write_all(&serde_json::to_vec(table)?)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_reads_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("routes.json");
        let table = RouteTable {
            generation: 7,
            routes: vec![],
        };
        write(&path, &table).unwrap();
        assert_eq!(read(&path), table);
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no temporary file stays"
        );
    }

    #[test]
    fn a_missing_or_damaged_file_is_an_empty_table() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("routes.json");
        assert_eq!(read(&path), RouteTable::default());
        fs::write(&path, b"{\"generation\": 3, \"rou").unwrap();
        assert_eq!(read(&path), RouteTable::default());
    }
}
