//! What installs an app's dependencies: by lock file first, because it is exact.

use super::VENV;
use crate::{InvalidFile, PlanError, Tree, plan::argv};

/// A way to install.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Uv,
    Poetry,
    Pdm,
    PipenvLocked,
    Requirements,
    Pipenv,
    /// `pip install .` of a pyproject.toml or setup.py.
    Project,
    Nothing,
}

/// The installer of an app.
#[derive(Debug)]
pub(crate) struct Installer {
    kind: Kind,
    /// All that is written about dependencies, in lower case, to look for names in.
    texts: String,
}

/// Packages that are compiled when there is no wheel, and what they need of Debian.
const COMPILED: [(&str, &[&str]); 3] = [
    ("psycopg2", &["gcc", "libc6-dev", "libpq-dev"]),
    (
        "mysqlclient",
        &["gcc", "libc6-dev", "default-libmysqlclient-dev", "pkg-config"],
    ),
    ("uwsgi", &["gcc", "libc6-dev"]),
];

impl Installer {
    /// Looks for lock files, then for requirements.
    pub(crate) fn of(tree: &Tree<'_>) -> Result<Self, PlanError> {
        let pyproject = tree.text("pyproject.toml")?;
        let table = pyproject.as_deref().map(parse).transpose()?;
        let is_project = table.is_some_and(|table| table.contains_key("project") || table.contains_key("build-system"));
        let kind = match () {
            () if tree.has("uv.lock") => Kind::Uv,
            () if tree.has("poetry.lock") => Kind::Poetry,
            () if tree.has("pdm.lock") => Kind::Pdm,
            () if tree.has("Pipfile.lock") => Kind::PipenvLocked,
            () if tree.has("requirements.txt") => Kind::Requirements,
            () if tree.has("Pipfile") => Kind::Pipenv,
            () if is_project || tree.has("setup.py") => Kind::Project,
            () => Kind::Nothing,
        };
        let mut texts = pyproject.unwrap_or_default();
        for file in ["requirements.txt", "Pipfile", "setup.py"] {
            texts.push('\n');
            texts.push_str(&tree.text(file)?.unwrap_or_default());
        }
        texts.make_ascii_lowercase();
        let kind = if kind == Kind::Requirements && is_blank(&texts) {
            Kind::Nothing
        } else {
            kind
        };
        Ok(Self { kind, texts })
    }

    /// For the log.
    pub(crate) fn decision(&self) -> String {
        let how = match self.kind {
            Kind::Uv => "by uv, as uv.lock has them",
            Kind::Poetry => "by Poetry, as poetry.lock has them",
            Kind::Pdm => "by PDM, as pdm.lock has them",
            Kind::PipenvLocked => "by Pipenv, as Pipfile.lock has them",
            Kind::Requirements => "by pip, from requirements.txt",
            Kind::Pipenv => "by Pipenv, from Pipfile; without a lock file versions may change from build to build",
            Kind::Project => "by pip, from the project itself",
            Kind::Nothing => return "No dependencies to install".to_owned(),
        };
        format!("Dependencies {how}")
    }

    pub(crate) fn is_needed(&self) -> bool {
        self.kind != Kind::Nothing
    }

    /// Whether the app says that it depends on this package.
    pub(crate) fn names(&self, package: &str) -> bool {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        self.texts
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .any(|line| {
                line.split(|c| !is_name(c))
                    .any(|word| word.replace('_', "-") == package)
            })
    }

    /// Debian packages for dependencies that are compiled or come from repositories.
    pub(crate) fn debian_packages(&self) -> Vec<String> {
        let mut packages: Vec<String> = COMPILED
            .iter()
            .filter(|(name, _)| self.names(name))
            .flat_map(|(_, packages)| packages.iter().map(|&package| package.to_owned()))
            .collect();
        if self.texts.contains("git+") {
            packages.push("git".to_owned());
        }
        packages.sort();
        packages.dedup();
        packages
    }

    /// How the installer itself is installed, as root.
    pub(crate) fn own_installation(&self) -> Option<Vec<String>> {
        let tool = match self.kind {
            Kind::Uv => "uv",
            Kind::Poetry => "poetry",
            Kind::Pdm => "pdm",
            Kind::Pipenv | Kind::PipenvLocked => "pipenv",
            Kind::Requirements | Kind::Project | Kind::Nothing => return None,
        };
        Some(argv(&[
            "python3",
            "-m",
            "pip",
            "install",
            "--no-cache-dir",
            "--root-user-action=ignore",
            tool,
        ]))
    }

    /// The files that the installation reads.
    pub(crate) fn inputs(&self, tree: &Tree<'_>) -> Vec<String> {
        let files: &[&str] = match self.kind {
            Kind::Uv => &["pyproject.toml", "uv.lock", ".python-version"],
            Kind::Poetry => &["pyproject.toml", "poetry.lock", "poetry.toml"],
            Kind::Pdm => &["pyproject.toml", "pdm.lock"],
            Kind::Pipenv | Kind::PipenvLocked => &["Pipfile", "Pipfile.lock"],
            Kind::Requirements if !self.requirements_refer() => &["requirements.txt"],
            Kind::Requirements | Kind::Project | Kind::Nothing => return vec![".".to_owned()],
        };
        files
            .iter()
            .filter(|file| tree.has(file))
            .map(|&file| file.to_owned())
            .collect()
    }

    /// Whether requirements.txt names other files of the revision.
    fn requirements_refer(&self) -> bool {
        self.texts.lines().map(str::trim).any(|line| {
            [
                "-r",
                "-c",
                "-e",
                "--requirement",
                "--constraint",
                "--editable",
                ".",
                "/",
                "file:",
            ]
            .iter()
            .any(|start| line.starts_with(start))
                || line.contains("@ file:")
        })
    }

    /// The command that installs into the virtual environment.
    pub(crate) fn install(&self) -> Vec<String> {
        match self.kind {
            Kind::Uv => argv(&["uv", "sync", "--active", "--frozen", "--no-dev", "--no-install-project"]),
            Kind::Poetry => argv(&["poetry", "install", "--only", "main", "--no-root", "--no-interaction"]),
            Kind::Pdm => argv(&["pdm", "sync", "--prod", "--no-self"]),
            Kind::PipenvLocked => argv(&["pipenv", "sync"]),
            Kind::Pipenv => argv(&["pipenv", "install", "--skip-lock"]),
            Kind::Requirements => argv(&[
                &pip(),
                "install",
                "--disable-pip-version-check",
                "-r",
                "requirements.txt",
            ]),
            Kind::Project | Kind::Nothing => argv(&[&pip(), "install", "--disable-pip-version-check", "."]),
        }
    }

    /// The id of its cache.
    pub(crate) fn cache(&self) -> &'static str {
        "python"
    }
}

fn pip() -> String {
    format!("{VENV}/bin/pip")
}

fn is_blank(text: &str) -> bool {
    text.lines()
        .map(str::trim)
        .all(|line| line.is_empty() || line.starts_with('#'))
}

fn parse(text: &str) -> Result<toml::Table, PlanError> {
    text.parse::<toml::Table>().map_err(|error| {
        let line = error
            .span()
            .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let next = "correct pyproject.toml and push again";
        InvalidFile::new("pyproject.toml", line, error.message().replace('\n', " "), next).into()
    })
}
