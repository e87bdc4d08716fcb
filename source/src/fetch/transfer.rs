//! Running `git fetch` under limits of size and time, with its progress told.

use std::{collections::VecDeque, io, path::Path, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    time::{Instant, interval, sleep_until},
};

use super::{Progress, complaint::is_progress};
use crate::git::{Running, SourceError, Turn, printable};

/// How often the size of what has arrived is looked at.
const WATCH_EVERY: Duration = Duration::from_millis(250);

/// Lines that are kept to find out what went wrong.
const KEPT_LINES: usize = 30;

/// A fetch under way.
pub(super) struct Transfer<'a> {
    pub(super) repository: &'a Path,
    pub(super) max_bytes: u64,
    pub(super) deadline: Instant,
    pub(super) progress: &'a Progress,
    pub(super) turn: &'a Turn,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum Ended {
    Well,
    /// With these last lines.
    Badly(Vec<String>),
    TooLarge,
    Late,
}

impl Transfer<'_> {
    pub(super) async fn run(&self, command: Command) -> Result<Ended, SourceError> {
        clear_leftovers(self.repository).map_err(SourceError::io("clean the repository"))?;
        let before = packed_bytes(self.repository);
        let mut git = Running::start(command, self.turn.clone())?;
        let stderr = git.stderr.take();
        let mut watch = interval(WATCH_EVERY);
        let ended = {
            let lines = self.listen(stderr);
            tokio::pin!(lines);
            loop {
                tokio::select! {
                    kept = &mut lines => break Ended::Badly(kept),
                    () = sleep_until(self.deadline) => break Ended::Late,
                    _ = watch.tick() => {
                        if packed_bytes(self.repository).saturating_sub(before) > self.max_bytes {
                            break Ended::TooLarge;
                        }
                    }
                }
            }
        };
        let well = self.finish(git, &ended).await?;
        let too_large = packed_bytes(self.repository).saturating_sub(before) > self.max_bytes;
        Ok(match ended {
            Ended::Badly(_) if well && too_large => Ended::TooLarge,
            Ended::Badly(_) if well => Ended::Well,
            other => other,
        })
    }

    /// Waits for git, or ends it if a limit was hit. Whether it ended well.
    async fn finish(&self, git: Running, ended: &Ended) -> Result<bool, SourceError> {
        let status = match ended {
            Ended::Badly(_) => git.wait().await?,
            _ => git.end().await?,
        };
        if !status.success() {
            clear_leftovers(self.repository).map_err(SourceError::io("clean the repository"))?;
        }
        Ok(status.success())
    }

    /// Tells the lines that git prints, and returns the last ones when it has closed its output.
    async fn listen(&self, stderr: Option<impl AsyncRead + Unpin>) -> Vec<String> {
        let mut kept = VecDeque::new();
        let Some(mut stderr) = stderr else { return Vec::new() };
        let mut lines = Lines::default();
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
            for line in lines.push(&buffer[..read]) {
                if is_progress(&line) {
                    (self.progress)(&line);
                }
                kept.push_back(line);
                if kept.len() > KEPT_LINES {
                    kept.pop_front();
                }
            }
        }
        kept.extend(lines.rest());
        kept.into()
    }
}

/// Cuts git's output into lines. What a carriage return overwrites is not a line: only the last state of a progress counts.
#[derive(Default)]
struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            match byte {
                b'\n' => lines.extend(self.rest()),
                // Git ends some lines with both.
                b'\r' => self.pending.push(byte),
                _ => {
                    if self.pending.last() == Some(&b'\r') {
                        self.pending.clear();
                    }
                    if self.pending.len() < 4096 {
                        self.pending.push(byte);
                    }
                }
            }
        }
        lines
    }

    fn rest(&mut self) -> Option<String> {
        let bytes = std::mem::take(&mut self.pending);
        let line = printable(String::from_utf8_lossy(&bytes).trim());
        (!line.is_empty()).then_some(line)
    }
}

/// Bytes of finished and arriving packs. What cannot be read is not there any more.
fn packed_bytes(repository: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(repository.join("objects/pack")) else {
        return 0;
    };
    entries
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

/// Removes what a fetch that was killed left behind: half a pack, and the lock on the shallow boundary, which would stop every
/// later fetch. The caller holds the repository's turn, so no fetch is at work; a push keeps its packs elsewhere.
pub(crate) fn clear_leftovers(repository: &Path) -> io::Result<()> {
    remove_if_there(&repository.join("shallow.lock"))?;
    let Ok(entries) = std::fs::read_dir(repository.join("objects/pack")) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with("tmp_") {
            remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_state_of_a_progress_is_a_line() {
        let mut lines = Lines::default();
        let mut found = lines.push(b"Receiving: 10%\rReceiving: 1");
        found.extend(lines.push(b"00%, done.\nremote: hello\r\n\nfatal: x"));
        found.extend(lines.rest());
        assert_eq!(found, ["Receiving: 100%, done.", "remote: hello", "fatal: x"]);
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            assert!(lines.push(&[b'x'; 4096]).is_empty());
        }
        assert!(lines.pending.len() <= 4096 && lines.rest().unwrap().len() <= 500);
    }
}
