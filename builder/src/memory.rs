//! The memory of this machine, as the kernel tells it.

/// All of it, in bytes; none if the kernel does not say.
pub(crate) fn total() -> Option<u64> {
    field(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal")
}

/// What can be had without swapping, in bytes; none if the kernel does not say.
pub(crate) fn available() -> Option<u64> {
    field(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable")
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Bytes for people: `1.5 GiB`, `300 MiB`.
pub fn human_bytes(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes >= 1 << 30 {
        // A tenth is enough; whole numbers keep the arithmetic exact.
        let tenths = bytes / (MIB * 1024 / 10);
        return format!("{}.{} GiB", tenths / 10, tenths % 10);
    }
    format!("{} MiB", bytes / MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let text = "MemTotal:       16384 kB\nMemFree:  1 kB\nMemAvailable:    8192 kB\n";
        assert_eq!(field(text, "MemTotal"), Some(16 << 20));
        assert_eq!(field(text, "MemAvailable"), Some(8 << 20));
        assert_eq!(field(text, "Mem"), None);
        assert!(available() <= total());
        assert!(total() > Some(1 << 20));
    }

    #[test]
    fn bytes_are_told_shortly() {
        assert_eq!(human_bytes(300 << 20), "300 MiB");
        assert_eq!(human_bytes(3 << 29), "1.5 GiB");
        assert_eq!(human_bytes(0), "0 MiB");
    }
}
