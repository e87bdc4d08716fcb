//! What the engine (the composition root) decides about builds.

use std::{path::PathBuf, str::FromStr};

use windlass_buildpacks::BaseImages;

/// Settings of all builds of a worker.
#[derive(Debug, Clone)]
pub struct BuilderConfig {
    /// Where the Docker Engine listens: the same one that the Docker handle talks to. A build needs a connection of its own, whose
    /// end ends the build.
    pub engine: EngineAddress,
    /// The images that generated plans start from.
    pub base_images: BaseImages,
    /// Bytes of output that one build may log; what comes after is dropped with a line that says so, and the build goes on.
    pub max_log_bytes: u64,
    /// Characters of a line of output that are kept.
    pub max_line_chars: usize,
    /// Builds at the same time; others wait for their turn.
    pub max_concurrent: usize,
    /// What one build may use.
    pub limits: BuildLimits,
    /// Bytes that the Docker Engine's build cache may have; none: 10 GiB, or a tenth of its disk if that is less.
    pub cache_bytes: Option<u64>,
}

/// What one build may use of the machine. Whatever is set here, builds have a lower weight than apps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildLimits {
    /// Bytes of memory; none: half of the machine's.
    pub memory_bytes: Option<u64>,
    /// Thousandths of a core; none: all cores.
    pub cpu_millis: Option<u32>,
}

impl Default for BuilderConfig {
    fn default() -> Self {
        Self {
            engine: EngineAddress::default(),
            base_images: BaseImages::default(),
            max_log_bytes: 4 * 1024 * 1024,
            max_line_chars: 4000,
            max_concurrent: 2,
            limits: BuildLimits::default(),
            cache_bytes: None,
        }
    }
}

/// Where a Docker Engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// Plain TCP, as `host:port`.
    Tcp(String),
}

impl Default for EngineAddress {
    fn default() -> Self {
        Self::Unix(PathBuf::from("/var/run/docker.sock"))
    }
}

/// An address that builds cannot use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address of a Docker Engine; use `unix:///var/run/docker.sock` or `tcp://host:port`")]
pub struct EngineAddressError(String);

impl FromStr for EngineAddress {
    type Err = EngineAddressError;

    /// Reads what `DOCKER_HOST` holds: `unix:///path`, `tcp://host:port` or `http://host:port`.
    fn from_str(text: &str) -> Result<Self, EngineAddressError> {
        if let Some(path) = text.strip_prefix("unix://").filter(|path| path.starts_with('/')) {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let tcp = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("http://"));
        match tcp
            .map(|host| host.trim_end_matches('/'))
            .filter(|host| host.contains(':'))
        {
            Some(host) => Ok(Self::Tcp(host.to_owned())),
            None => Err(EngineAddressError(text.chars().take(200).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_docker_host_has_them() {
        assert_eq!(
            "unix:///run/d.sock".parse(),
            Ok(EngineAddress::Unix(PathBuf::from("/run/d.sock")))
        );
        assert_eq!(
            "tcp://10.0.0.1:2375".parse(),
            Ok(EngineAddress::Tcp("10.0.0.1:2375".to_owned()))
        );
        assert!("ssh://host".parse::<EngineAddress>().is_err());
    }
}
