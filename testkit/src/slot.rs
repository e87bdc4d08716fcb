//! Numbered places on this machine. Whoever holds a slot has its ports and its network pool to himself, across processes: the
//! lock is the kernel's, so that a killed test gives its slot back. What such a test left behind is removed by the next holder.

use std::{
    fs::{self, File, OpenOptions},
    path::PathBuf,
};

use rustix::fs::{FlockOperation, flock};

use crate::{docker, process};

/// How many engines may run at once on one machine.
const SLOTS: u16 = 64;
/// The first port of the first slot; below the range that the kernel hands out by itself.
const FIRST_PORT: u16 = 21_000;
/// Ports for each slot.
const PORTS: u16 = 10;

/// A held slot; dropping it gives it back.
#[derive(Debug)]
pub struct Slot {
    number: u16,
    diary: Diary,
    _lock: File,
}

impl Slot {
    /// Takes the first free slot and clears away what its last holder may have left.
    ///
    /// # Panics
    /// When all are taken.
    pub fn take() -> Self {
        let directory = std::env::temp_dir().join("windlass-testkit");
        fs::create_dir_all(&directory).expect("the temporary directory is writable");
        let slot = (0..SLOTS).find_map(|number| Self::try_take(&directory.join(number.to_string()), number));
        let slot = slot.expect("fewer than 64 engines run at once");
        slot.diary.clear_leftovers();
        slot
    }

    fn try_take(path: &std::path::Path, number: u16) -> Option<Self> {
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.with_extension("lock"))
            .ok()?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
        Some(Self {
            number,
            diary: Diary { path: path.to_owned() },
            _lock: lock,
        })
    }

    /// Its number, which no other test holds at the same time.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The `n`-th port of this slot.
    pub fn port(&self, n: u16) -> u16 {
        assert!(n < PORTS, "a slot has {PORTS} ports");
        FIRST_PORT + self.number * PORTS + n
    }

    /// A /20 for the networks of apps.
    pub fn network_pool(&self) -> String {
        format!("10.{}.{}.0/20", 240 + self.number / 16, self.number % 16 * 16)
    }

    /// Notes what has to be cleared away if this test is killed.
    pub(crate) fn note(&self, data_dir: &std::path::Path, engine_id: Option<&str>) {
        self.diary.write(data_dir, engine_id);
    }

    /// Nothing is left to be cleared away.
    pub(crate) fn forget(&self) {
        let _ = fs::remove_file(&self.diary.path);
    }
}

/// What the holder of a slot has made: its data directory and its engine's id.
#[derive(Debug)]
struct Diary {
    path: PathBuf,
}

impl Diary {
    fn write(&self, data_dir: &std::path::Path, engine_id: Option<&str>) {
        let text = format!("{}\n{}\n", data_dir.display(), engine_id.unwrap_or_default());
        fs::write(&self.path, text).expect("the temporary directory is writable");
    }

    fn clear_leftovers(&self) {
        let Ok(text) = fs::read_to_string(&self.path) else {
            return;
        };
        let mut lines = text.lines();
        if let Some(data_dir) = lines.next().filter(|line| line.starts_with('/')).map(PathBuf::from)
            && data_dir.exists()
        {
            process::stop_all(&data_dir);
            let _ = fs::remove_dir_all(&data_dir);
        }
        if let Some(engine_id) = lines.next().filter(|line| !line.is_empty()) {
            docker::remove_all(engine_id);
        }
        let _ = fs::remove_file(&self.path);
    }
}
