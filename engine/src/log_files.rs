//! The logs of the engine's children, kept within bounds. The children hold them open, so a log that has grown is copied aside and
//! emptied in place: both append, and go on at the new end. Lines that are written in between are lost.

use std::{fs, io, path::Path, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::ownership::open_log;

/// A log is emptied when it is larger than this; with its copy it takes twice as much.
const MAX_BYTES: u64 = 16 << 20;
const PERIOD: Duration = Duration::from_secs(30);

/// Looks after the logs in a folder until shutdown.
pub async fn keep_bounded(folder: &Path, shutdown: CancellationToken) {
    let mut clock = tokio::time::interval(PERIOD);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = clock.tick() => {}
        }
        if let Err(error) = bound_all(folder, MAX_BYTES) {
            tracing::warn!(
                error = format!("{error:#}"),
                "the logs of the engine's children cannot be bounded"
            );
        }
    }
}

fn bound_all(folder: &Path, max_bytes: u64) -> anyhow::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        // Without following a link: the folder is root's own, but its logs are written by others.
        let meta = fs::symlink_metadata(&path)?;
        if is_log && meta.is_file() && meta.len() > max_bytes {
            empty(&path)?;
        }
    }
    Ok(())
}

fn empty(log: &Path) -> anyhow::Result<()> {
    let old = log.with_extension("log.1");
    let draft = log.with_extension("log.new");
    fs::copy(log, &draft)?;
    fs::rename(draft, old)?;
    open_log(log)?.set_len(0)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_log_that_has_grown_is_copied_aside_and_its_writer_goes_on() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("log");
        let (large, small) = (folder.join("router.log"), folder.join("postgres.log"));
        let mut writer = open_log(&large).unwrap();
        writeln!(writer, "{}", "x".repeat(100)).unwrap();
        open_log(&small).unwrap().write_all(b"few").unwrap();
        bound_all(&folder, 50).unwrap();
        bound_all(&folder, 50).unwrap();
        writeln!(writer, "after").unwrap();
        assert_eq!(fs::read_to_string(&large).unwrap(), "after\n");
        assert_eq!(fs::read_to_string(folder.join("router.log.1")).unwrap().len(), 101);
        assert_eq!(fs::read_to_string(&small).unwrap(), "few");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
    }

    #[test]
    fn where_there_is_no_log_nothing_is_to_be_done() {
        let temp = tempfile::tempdir().unwrap();
        bound_all(&temp.path().join("log"), 1).unwrap();
    }
}
