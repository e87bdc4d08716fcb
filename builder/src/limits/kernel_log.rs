//! What the kernel says of processes that it killed for want of memory: the only account that outlives the control group.

use std::{
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
};

use rustix::fs::OFlags;

use super::Shortage;

/// Bytes of one record at most, as the kernel has it.
const RECORD_BYTES: usize = 8192;

/// The kernel's log from some moment on.
pub(super) struct KernelLog {
    file: File,
    whole: bool,
}

/// A process of a build step that was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kill {
    /// BuildKit's id of the step's container.
    pub(super) step: String,
    /// The name of the process.
    pub(super) process: String,
    /// Whose memory was used up.
    pub(super) shortage: Shortage,
}

impl KernelLog {
    /// Reads what comes from now on; none where the log may not be read.
    pub(super) fn from_now() -> Option<Self> {
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let mut file = File::options().read(true).custom_flags(flags).open("/dev/kmsg").ok()?;
        file.seek(SeekFrom::End(0)).ok()?;
        Some(Self { file, whole: true })
    }

    /// Whether nothing was overwritten before it was read.
    pub(super) const fn is_whole(&self) -> bool {
        self.whole
    }

    /// What has come since the last time. Each read gives one record.
    pub(super) fn kills(&mut self) -> Vec<Kill> {
        let mut kills = Vec::new();
        let mut record = vec![0; RECORD_BYTES];
        loop {
            match self.file.read(&mut record) {
                Ok(0) => return kills,
                Ok(bytes) => kills.extend(kill(&String::from_utf8_lossy(&record[..bytes]))),
                // Records were overwritten before they were read: it goes on with the oldest that is left.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => self.whole = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return kills,
            }
        }
    }
}

/// A kill, if the record tells of one: `…;oom-kill:constraint=…,oom_memcg=/docker/buildkit,task_memcg=/docker/buildkit/{id},task=cc1,pid=7,uid=0`.
/// `oom_memcg` is the group that had used up its memory: the step's own, or one around it.
fn kill(record: &str) -> Option<Kill> {
    let (_, text) = record.split_once(';')?;
    let fields = text.strip_prefix("oom-kill:")?;
    let (before, rest) = fields.split_once("task_memcg=")?;
    let (group, rest) = rest.split_once(",task=")?;
    let (process, _) = rest.rsplit_once(",pid=")?;
    let exhausted = before
        .split_once("oom_memcg=")
        .map(|(_, group)| group.trim_end_matches(','));
    let shortage = match exhausted {
        _ if fields.starts_with("constraint=CONSTRAINT_NONE") => Shortage::Machine,
        Some(exhausted) if exhausted != group => Shortage::Builds,
        _ => Shortage::Step,
    };
    Some(Kill {
        step: group.rsplit(['/', ':']).next()?.to_owned(),
        process: process.to_owned(),
        shortage,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_read_from_its_record() {
        let record = "4,8,9,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=abc,mems_allowed=0,\
                      oom_memcg=/docker/buildkit/abc,task_memcg=/docker/buildkit/abc,task=cc1,plus,pid=7,uid=0\n";
        let wanted = Kill {
            step: "abc".to_owned(),
            process: "cc1,plus".to_owned(),
            shortage: Shortage::Step,
        };
        assert_eq!(kill(record), Some(wanted));
        let nest = record.replacen("=/docker/buildkit/abc", "=/docker/buildkit", 1);
        assert_eq!(kill(&nest).unwrap().shortage, Shortage::Builds);
        let record = "4,8,9,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,\
                      task_memcg=/system.slice/system.slice:docker:abc,task=cc1,pid=7,uid=0\n";
        let found = kill(record).unwrap();
        assert_eq!((found.step.as_str(), found.shortage), ("abc", Shortage::Machine));
        assert_eq!(kill("6,1,2,-;eth0: link up\n"), None);
    }
}
