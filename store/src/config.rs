//! Config vars: whole snapshots, sealed.

use std::collections::BTreeMap;

use windlass_domain::{ConfigKey, Secret};

use crate::DeploymentRow;

/// The config vars of an app at one version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Counts from 1; 0 when none were ever set.
    pub version: u32,
    /// The vars.
    pub vars: BTreeMap<ConfigKey, Secret<String>>,
}

/// What a patch led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigPatched {
    /// The config vars as they are now.
    pub config: Config,
    /// Whether the patch changed anything.
    pub changed: bool,
    /// The deployment that makes the change live; none when nothing changed or nothing is live.
    pub deployment: Option<DeploymentRow>,
}
