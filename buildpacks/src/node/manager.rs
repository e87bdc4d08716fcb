//! Which package manager, and its commands.

use super::{PACKAGE_JSON, package_json::PackageJson};
use crate::{InvalidFile, PlanError, Tree, plan::argv};

/// Where caches are mounted.
const CACHE: &str = "/cache";

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Npm,
    /// Yarn 1.
    Yarn,
    /// Yarn 2 and later.
    Berry,
    Pnpm,
    Bun,
}

/// The package manager of an app.
#[derive(Debug)]
pub(crate) struct Manager {
    pub(crate) kind: Kind,
    /// Its version, if the app asks for one: digits, letters, dots and hyphens.
    version: Option<String>,
    /// The lock file, if there is one.
    pub(crate) lock: Option<&'static str>,
    /// Whether the repository brings its own Yarn (`yarnPath`).
    own_yarn: bool,
}

impl Manager {
    /// From `packageManager`, or else from the lock file, or else npm.
    pub(crate) fn of(tree: &Tree<'_>, package: &PackageJson) -> Result<Self, PlanError> {
        let lock = tree.first_of(&[
            "pnpm-lock.yaml",
            "yarn.lock",
            "bun.lock",
            "bun.lockb",
            "package-lock.json",
            "npm-shrinkwrap.json",
        ]);
        let by_lock = match lock {
            Some("pnpm-lock.yaml") => Kind::Pnpm,
            Some("yarn.lock") if tree.has(".yarnrc.yml") => Kind::Berry,
            Some("yarn.lock") => Kind::Yarn,
            Some("bun.lock" | "bun.lockb") => Kind::Bun,
            _ => Kind::Npm,
        };
        let (kind, version) = match package.package_manager.as_deref() {
            Some(text) => parse(text)?,
            None => (by_lock, None),
        };
        let own_yarn = kind == Kind::Berry && tree.has_folder(".yarn/releases");
        let lock = lock.map(constant).filter(|lock| kind.locks().contains(lock));
        Ok(Self {
            kind,
            version,
            lock,
            own_yarn,
        })
    }

    /// For the log.
    pub(crate) fn decision(&self, package: &PackageJson) -> Option<String> {
        if !package.has_dependencies() {
            return Some("No dependencies to install".to_owned());
        }
        let name = self.kind.name();
        Some(match self.lock {
            Some(lock) => format!("Dependencies by {name}, as {lock} has them"),
            None => format!("Dependencies by {name}; without a lock file versions may change from build to build"),
        })
    }

    /// How the manager itself is installed, as root; nothing for those that the image has.
    pub(crate) fn own_installation(&self) -> Option<Vec<String>> {
        let version = |default: &str| self.version.clone().unwrap_or_else(|| default.to_owned());
        let package = match self.kind {
            Kind::Npm | Kind::Yarn => return None,
            Kind::Berry if self.own_yarn => return None,
            Kind::Berry => format!("@yarnpkg/cli-dist@{}", version("4")),
            Kind::Pnpm => format!("pnpm@{}", version("10")),
            Kind::Bun => format!("bun@{}", version("1")),
        };
        Some(argv(&[
            "npm",
            "install",
            "--global",
            "--force",
            "--no-audit",
            "--no-fund",
            &package,
        ]))
    }

    /// The command that installs the dependencies, with or without those of development.
    pub(crate) fn install(&self, development: bool) -> Vec<String> {
        let locked = self.lock.is_some();
        let mut command = match (self.kind, locked) {
            (Kind::Npm, true) => argv(&["npm", "ci", "--no-audit", "--no-fund"]),
            (Kind::Npm, false) => argv(&["npm", "install", "--no-audit", "--no-fund"]),
            (Kind::Yarn, true) => argv(&["yarn", "install", "--frozen-lockfile", "--non-interactive"]),
            (Kind::Yarn, false) => argv(&["yarn", "install", "--non-interactive"]),
            (Kind::Berry, true) => argv(&["yarn", "install", "--immutable"]),
            (Kind::Berry, false) => argv(&["yarn", "install"]),
            (Kind::Pnpm, true) => argv(&["pnpm", "install", "--frozen-lockfile"]),
            (Kind::Pnpm, false) => argv(&["pnpm", "install"]),
            (Kind::Bun, true) => argv(&["bun", "install", "--frozen-lockfile"]),
            (Kind::Bun, false) => argv(&["bun", "install"]),
        };
        match (self.kind, development) {
            (Kind::Npm, true) => command.push("--include=dev".to_owned()),
            (Kind::Npm, false) => command.push("--omit=dev".to_owned()),
            (Kind::Yarn | Kind::Bun, false) => command.push("--production".to_owned()),
            (Kind::Pnpm, false) => command.push("--prod".to_owned()),
            _ => {}
        }
        command
    }

    /// The command that removes what only the build needed; none where the manager has no safe one.
    pub(crate) fn prune(&self) -> Option<Vec<String>> {
        match self.kind {
            Kind::Npm => Some(argv(&["npm", "prune", "--omit=dev", "--no-audit", "--no-fund"])),
            Kind::Yarn => Some(argv(&[
                "yarn",
                "install",
                "--production",
                "--ignore-scripts",
                "--prefer-offline",
                "--non-interactive",
            ])),
            Kind::Pnpm => Some(argv(&["pnpm", "prune", "--prod", "--ignore-scripts"])),
            Kind::Berry | Kind::Bun => None,
        }
    }

    /// Runs a script of package.json.
    pub(crate) fn run(&self, script: &str) -> Vec<String> {
        argv(&[self.kind.name(), "run", script])
    }

    /// Variables that point the manager to its cache.
    pub(crate) fn environment(&self) -> Vec<(&'static str, &'static str)> {
        let mut variables = vec![("HOME", "/home/node")];
        variables.extend_from_slice(match self.kind {
            Kind::Npm => &[
                ("NPM_CONFIG_CACHE", "/cache/npm"),
                ("NPM_CONFIG_UPDATE_NOTIFIER", "false"),
            ],
            Kind::Yarn => &[("YARN_CACHE_FOLDER", "/cache/yarn")],
            Kind::Berry => &[
                ("YARN_GLOBAL_FOLDER", "/cache/berry"),
                ("YARN_NODE_LINKER", "node-modules"),
            ],
            Kind::Pnpm => &[
                ("NPM_CONFIG_STORE_DIR", "/cache/pnpm"),
                // Without a terminal pnpm would rather stop than prune.
                ("NPM_CONFIG_CONFIRM_MODULES_PURGE", "false"),
            ],
            Kind::Bun => &[("BUN_INSTALL_CACHE_DIR", "/cache/bun")],
        });
        variables
    }

    /// The cache: its id and where it is mounted.
    pub(crate) fn cache(&self) -> (&'static str, String) {
        let id = match self.kind {
            Kind::Berry => "berry",
            other => other.name(),
        };
        (id, format!("{CACHE}/{id}"))
    }
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Yarn | Self::Berry => "yarn",
            Self::Pnpm => "pnpm",
            Self::Bun => "bun",
        }
    }

    const fn locks(self) -> &'static [&'static str] {
        match self {
            Self::Npm => &["package-lock.json", "npm-shrinkwrap.json"],
            Self::Yarn | Self::Berry => &["yarn.lock"],
            Self::Pnpm => &["pnpm-lock.yaml"],
            Self::Bun => &["bun.lock", "bun.lockb"],
        }
    }
}

/// A lock file's name as a constant.
fn constant(lock: &str) -> &'static str {
    [Kind::Npm, Kind::Yarn, Kind::Pnpm, Kind::Bun]
        .into_iter()
        .flat_map(Kind::locks)
        .find(|own| **own == lock)
        .copied()
        .unwrap_or_default()
}

/// `packageManager`: `name@version`, with a hash behind a `+`.
fn parse(text: &str) -> Result<(Kind, Option<String>), PlanError> {
    let (name, version) = text.split_once('@').unwrap_or((text, ""));
    let version = version.split('+').next().unwrap_or_default();
    let plain = version
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    let kind = match name {
        "npm" => Some(Kind::Npm),
        "yarn" if version.starts_with("1.") || version == "1" || version.is_empty() => Some(Kind::Yarn),
        "yarn" => Some(Kind::Berry),
        "pnpm" => Some(Kind::Pnpm),
        "bun" => Some(Kind::Bun),
        _ => None,
    };
    match kind.filter(|_| plain) {
        Some(kind) => Ok((kind, (!version.is_empty()).then(|| version.to_owned()))),
        None => {
            let shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
            let problem = format!("`packageManager` is `{shown}`, which is not known");
            let next = "use npm, yarn, pnpm or bun with a version, such as `pnpm@10.0.0`, or remove the field";
            Err(InvalidFile::new(PACKAGE_JSON, None, problem, next).into())
        }
    }
}
