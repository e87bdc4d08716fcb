//! The engine's end: a folder for each gate.

use std::{
    fs::{self, File, Permissions, TryLockError},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read, Seek, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::State;

const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/gate"));
/// The program's name in a gate's folder.
const PROGRAM_NAME: &str = "gate";
const STATE_NAME: &str = "state";
/// The number of the table that the gates were turned by, and the lock of whoever turns them.
const TABLE: &str = "table";
/// Where the program itself is kept; gates have links to it.
const PROGRAMS: &str = "programs";

/// How every gate begins: a container that was never healthy is hidden, so there is nothing to tell.
const NEW: State = State {
    open: false,
    told: true,
};
/// What a power cut left of a gate's state cannot be read: the program takes that for closed, and has to be told anew.
const UNREADABLE: State = State {
    open: false,
    told: false,
};

/// All gates of an engine. Whatever it does may be done twice.
#[derive(Debug, Clone)]
pub struct Gates {
    root: PathBuf,
    program: PathBuf,
}

impl Gates {
    /// Gates in this folder, which is made if need be. Any user of any container must be able to read there, so it must not be in a
    /// folder that others may not pass through.
    pub fn at(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        make_folder(&root)?;
        let programs = root.join(PROGRAMS);
        make_folder(&programs)?;
        let mut hasher = DefaultHasher::new();
        PROGRAM.hash(&mut hasher);
        let program = programs.join(format!("{:016x}", hasher.finish()));
        if !is_program(&program) {
            write_whole(&program, PROGRAM, 0o555)?;
            // Docker keeps what it was told of a container, so what that is to run must be there after a power cut as well.
            sync_folder(&programs)?;
            sync_folder(&root)?;
        }
        Ok(Self { root, program })
    }

    /// Gates that somebody left in this folder; none if there is no such folder.
    pub fn left_at(root: impl Into<PathBuf>) -> io::Result<Option<Self>> {
        let root = root.into();
        if root.try_exists()? {
            Self::at(root).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Removes the folder with all that is in it; fine when it is gone.
    pub fn remove_all(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Makes a gate, closed; one that is there stays as it is. Gives its folder.
    pub fn make(&self, name: &str) -> io::Result<PathBuf> {
        let folder = self.folder(name);
        make_folder(&folder)?;
        let program = folder.join(PROGRAM_NAME);
        // A link shares its pages in memory with all the others.
        match fs::hard_link(&self.program, &program) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_program(&program) => {}
            Err(_) => write_whole(&program, PROGRAM, 0o555)?,
        }
        if self.state(name)?.is_none() {
            self.set(name, NEW)?;
            sync_folder(&folder)?;
            sync_folder(&self.root)?;
        }
        Ok(folder)
    }

    /// What a gate says; none if there is no such gate.
    pub fn state(&self, name: &str) -> io::Result<Option<State>> {
        match fs::read(self.folder(name).join(STATE_NAME)) {
            Ok(bytes) => {
                let words = String::from_utf8_lossy(&bytes);
                Ok(Some(State::read(words.trim_end()).unwrap_or(UNREADABLE)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes what a gate says. Whoever reads meanwhile reads the old or the new.
    pub fn set(&self, name: &str, state: State) -> io::Result<()> {
        let words = format!("{}\n", state.words());
        write_whole(&self.folder(name).join(STATE_NAME), words.as_bytes(), 0o444)
    }

    /// When a gate was last changed; none if there is no such gate. One that is just being made may have no state yet.
    pub fn changed(&self, name: &str) -> Option<SystemTime> {
        let folder = self.folder(name);
        let file = fs::metadata(folder.join(STATE_NAME)).or_else(|_| fs::metadata(folder));
        file.and_then(|file| file.modified()).ok()
    }

    /// All gates.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let name = entry?.file_name().into_string().unwrap_or_default();
            if !matches!(name.as_str(), "" | PROGRAMS | TABLE) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// The right to turn gates, which one at a time has, of all processes; none while somebody has it.
    pub fn turn_alone(&self) -> io::Result<Option<Turn>> {
        let mut file = File::options();
        let file = file.read(true).write(true).create(true).truncate(false);
        let file = file.open(self.root.join(TABLE))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Turn { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The number of the table that the gates were last turned by; 0 before the first.
    pub fn generation(&self) -> io::Result<u64> {
        match fs::read_to_string(self.root.join(TABLE)) {
            Ok(text) => Ok(number(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Removes a gate; fine when it is gone.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.folder(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// The right to turn gates; given up when it is dropped.
#[derive(Debug)]
pub struct Turn {
    file: File,
}

impl Turn {
    /// Begins to turn the gates by the table of this number. False when a newer one was there before.
    pub fn begin(&mut self, generation: u64) -> io::Result<bool> {
        let mut text = String::new();
        self.file.rewind()?;
        self.file.read_to_string(&mut text)?;
        if number(&text) > generation {
            return Ok(false);
        }
        // Always as long, so that a reader sees the old or the new.
        self.file.rewind()?;
        self.file.write_all(format!("{generation:020}\n").as_bytes())?;
        Ok(true)
    }
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// A folder that any user may look into, whatever the mask of this process.
fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))
}

/// Whether the program is there, and whole.
fn is_program(path: &Path) -> bool {
    fs::read(path).is_ok_and(|found| found == PROGRAM)
}

/// Writes a file beside its place and then puts it there. After a power cut there is the old or the new one, and never a part of it.
fn write_whole(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::create_new(&beside)?;
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// Sees to it that what is in a folder now is there after a power cut, too.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::{
        process::{Child, Command},
        time::{Duration, Instant},
    };

    use super::*;

    const OPEN: State = State { open: true, told: true };

    fn gates() -> (tempfile::TempDir, Gates) {
        let folder = tempfile::tempdir().unwrap();
        let gates = Gates::at(folder.path().join("gates")).unwrap();
        (folder, gates)
    }

    fn ask(gate: &Path) -> Child {
        let mut program = Command::new(gate.join("gate"));
        program.arg(gate.join("state")).spawn().unwrap()
    }

    #[test]
    fn what_is_news_is_told_at_once() {
        let (_folder, gates) = gates();
        let gate = gates.make("one").unwrap();
        for (open, code) in [(true, 0), (false, 1)] {
            gates.set("one", State { open, told: false }).unwrap();
            let began = Instant::now();
            assert_eq!(ask(&gate).wait().unwrap().code(), Some(code));
            assert!(began.elapsed() < Duration::from_secs(10));
        }
    }

    #[test]
    fn what_is_no_news_is_told_when_it_changes() {
        let (_folder, gates) = gates();
        let gate = gates.make("one").unwrap();
        let mut asked = ask(&gate);
        assert_eq!(asked.try_wait().unwrap(), None, "a new gate has nothing to say");
        gates.set("one", State { told: false, ..OPEN }).unwrap();
        assert_eq!(asked.wait().unwrap().code(), Some(0));
        gates.set("one", OPEN).unwrap();
        let mut asked = ask(&gate);
        assert_eq!(asked.try_wait().unwrap(), None);
        gates
            .set(
                "one",
                State {
                    open: false,
                    told: false,
                },
            )
            .unwrap();
        assert_eq!(asked.wait().unwrap().code(), Some(1));
    }

    #[test]
    fn a_gate_that_cannot_be_read_is_closed() {
        let (_folder, gates) = gates();
        let gate = gates.make("one").unwrap();
        fs::write(gate.join("other"), "ajar").unwrap();
        for file in ["other", "none"] {
            let ended = Command::new(gate.join("gate")).arg(gate.join(file)).status().unwrap();
            assert_eq!(ended.code(), Some(1), "{file}");
        }
    }

    #[test]
    fn a_program_that_a_power_cut_left_empty_is_written_anew() {
        let (folder, gates) = gates();
        let gate = gates.make("one").unwrap();
        // One file, with a name in each of both folders.
        fs::remove_file(&gates.program).unwrap();
        fs::write(&gates.program, "").unwrap();
        fs::remove_file(gate.join("gate")).unwrap();
        fs::hard_link(&gates.program, gate.join("gate")).unwrap();

        let gates = Gates::at(folder.path().join("gates")).unwrap();
        gates.make("one").unwrap();
        gates.make("two").unwrap();
        for name in ["one", "two"] {
            gates.set(name, State { told: false, ..OPEN }).unwrap();
            let gate = gates.folder(name);
            assert_eq!(ask(&gate).wait().unwrap().code(), Some(0), "{name}");
        }
    }

    #[test]
    fn a_gate_whose_state_cannot_be_read_is_closed_and_has_to_be_told_so() {
        let (_folder, gates) = gates();
        let gate = gates.make("one").unwrap();
        for left in [&b""[..], &[0; 7], &[0xff], b"ajar\n"] {
            fs::remove_file(gate.join("state")).unwrap();
            fs::write(gate.join("state"), left).unwrap();
            assert_eq!(gates.state("one").unwrap(), Some(UNREADABLE), "{left:?}");
        }
        gates.set("one", OPEN).unwrap();
        assert_eq!(gates.state("one").unwrap(), Some(OPEN));
    }

    #[test]
    fn a_gate_that_is_just_being_made_has_an_age() {
        let (_folder, gates) = gates();
        fs::create_dir(gates.folder("one")).unwrap();
        assert!(gates.changed("one").is_some());
        assert_eq!(gates.changed("two"), None);
    }

    #[test]
    fn a_gate_is_made_once_and_keeps_its_state() {
        let (folder, gates) = gates();
        gates.make("one").unwrap();
        assert_eq!(gates.state("one").unwrap(), Some(NEW));
        gates.set("one", OPEN).unwrap();
        // Another engine comes.
        let gates = Gates::at(folder.path().join("gates")).unwrap();
        gates.make("one").unwrap();
        assert_eq!(gates.state("one").unwrap(), Some(OPEN));
        assert_eq!(gates.names().unwrap(), ["one"]);
        gates.remove("one").unwrap();
        gates.remove("one").unwrap();
        assert_eq!(gates.names().unwrap(), [""; 0]);
        assert_eq!(gates.state("one").unwrap(), None);
    }

    #[test]
    fn what_is_left_is_found_and_removed_whole() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("gates");
        assert!(Gates::left_at(&root).unwrap().is_none());
        assert!(!root.exists(), "looking for it makes nothing");
        Gates::at(&root).unwrap().make("one").unwrap();
        let left = Gates::left_at(&root).unwrap().unwrap();
        assert_eq!(left.names().unwrap(), ["one"]);
        left.remove_all().unwrap();
        left.remove_all().unwrap();
        assert!(!root.exists());
    }

    #[test]
    fn one_at_a_time_turns_gates_and_never_by_an_older_table() {
        let (_folder, gates) = gates();
        assert_eq!(gates.generation().unwrap(), 0);
        let mut turn = gates.turn_alone().unwrap().unwrap();
        assert!(gates.turn_alone().unwrap().is_none());
        assert!(turn.begin(12).unwrap());
        assert!(turn.begin(12).unwrap());
        drop(turn);
        let mut turn = gates.turn_alone().unwrap().unwrap();
        assert!(!turn.begin(11).unwrap());
        assert_eq!(gates.generation().unwrap(), 12);
        assert_eq!(gates.names().unwrap(), [""; 0]);
    }

    #[test]
    fn any_user_may_read_and_run_it_and_nobody_may_change_it() {
        let (_folder, gates) = gates();
        let gate = gates.make("one").unwrap();
        for (path, mode) in [("gate", 0o555), ("state", 0o444), ("", 0o755)] {
            let found = fs::metadata(gate.join(path)).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode, "{path}");
        }
    }

    #[test]
    fn the_program_needs_nothing_of_its_image() {
        // A dynamic program names its loader in a header of the type 3 (PT_INTERP).
        let at = |from: usize, len: usize| {
            let bytes = PROGRAM[from..from + len].iter().rev();
            bytes.fold(0_usize, |all, byte| all << 8 | usize::from(*byte))
        };
        let (table, size, count) = (at(0x20, 8), at(0x36, 2), at(0x38, 2));
        assert_eq!(&PROGRAM[..4], b"\x7fELF");
        assert!((0..count).all(|n| at(table + n * size, 4) != 3), "it has a loader");
    }
}
