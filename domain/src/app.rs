//! What a user sets on an app: where its source is, how it is built, how its instances are checked and limited.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use crate::{BranchName, HealthCheck, ProcessType, RepoUrl, Strategy, Watch};

/// All settings of an app but its name and config vars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AppSettings {
    /// Where to fetch the source from; none for an app that is only pushed to.
    pub repo_url: Option<RepoUrl>,
    /// The branch whose pushes are deployed.
    pub branch: BranchName,
    /// How a revision becomes an image.
    pub build: BuildSettings,
    /// How an instance of `web` shows that it is healthy.
    pub health: HealthCheck,
    /// The same for other process types; one that is absent is healthy while it runs.
    pub process_health: BTreeMap<ProcessType, HealthCheck>,
    /// What an instance may use.
    pub limits: Limits,
    /// The port that `web` listens on and finds in `PORT`; none: the only port that the image exposes, or else 8080.
    pub port: Option<u16>,
    /// Seconds that an instance gets to finish its requests and then to end after SIGTERM.
    pub drain_seconds: u32,
    /// How a release takes the place of the one before it.
    pub strategy: Strategy,
    /// When a release that just went live is rolled back by itself.
    pub watch: Watch,
}

impl Default for AppSettings {
    fn default() -> Self {
        Self {
            repo_url: None,
            branch: "main".parse().expect("`main` is a branch name"),
            build: BuildSettings::default(),
            health: HealthCheck::default(),
            process_health: BTreeMap::new(),
            limits: Limits::default(),
            port: None,
            drain_seconds: 30,
            strategy: Strategy::default(),
            watch: Watch::default(),
        }
    }
}

/// How a revision becomes an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BuildSettings {
    /// Which builder to use.
    pub builder: Builder,
    /// The Dockerfile, relative to the context directory; none: `Dockerfile`.
    pub dockerfile: Option<String>,
    /// The directory of the repository that is built; none: its root.
    pub context: Option<String>,
    /// The stage of the Dockerfile to build; none: the last.
    pub target: Option<String>,
    /// Build args given as they stand.
    pub args: BTreeMap<String, String>,
    /// Config vars that are passed as build args under their own names. All others reach a build only as secret mounts
    /// (`RUN --mount=type=secret,id=NAME`).
    pub config_args: Vec<String>,
    /// Whether submodules are fetched.
    pub submodules: bool,
    /// How long a build may take, in seconds.
    pub timeout_seconds: u32,
}

impl Default for BuildSettings {
    fn default() -> Self {
        Self {
            builder: Builder::Auto,
            dockerfile: None,
            context: None,
            target: None,
            args: BTreeMap::new(),
            config_args: Vec::new(),
            submodules: false,
            timeout_seconds: 1800,
        }
    }
}

/// Which builder turns a revision into an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Builder {
    /// A Dockerfile if there is one, otherwise the first buildpack that detects the app.
    #[default]
    Auto,
    /// The Dockerfile, or a failure.
    Dockerfile,
    /// A buildpack even if there is a Dockerfile.
    Buildpack,
}

/// What one instance may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Memory in bytes; swap is not available beyond it.
    pub memory_bytes: u64,
    /// CPU in thousandths of a core.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 512 * 1024 * 1024,
            cpu_millis: 1000,
            pids: 512,
        }
    }
}

/// A setting whose value makes no sense, by the path of its field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct SettingsError {
    /// JSON pointer of the field below the settings, such as `/build/dockerfile`.
    pub field: Cow<'static, str>,
    /// What is wrong and what is allowed.
    pub problem: String,
}

impl AppSettings {
    /// All settings that make no sense, at once.
    pub fn problems(&self) -> Vec<SettingsError> {
        let mut found = Vec::new();
        let mut check = |ok: bool, field: &'static str, problem: &str| {
            if !ok {
                found.push(SettingsError {
                    field: field.into(),
                    problem: problem.to_owned(),
                });
            }
        };
        let relative = "must be a path inside the repository, without `..` and not absolute";
        let is_relative = |path: &Option<String>| path.as_deref().is_none_or(is_path_inside);
        check(is_relative(&self.build.dockerfile), "/build/dockerfile", relative);
        check(is_relative(&self.build.context), "/build/context", relative);
        check(
            self.build.target.as_deref().is_none_or(is_stage_name),
            "/build/target",
            "must be the name of a stage: letters, digits, `-`, `_` and `.`, beginning with a letter or digit",
        );
        check(
            self.build.args.keys().all(|key| is_arg_name(key)),
            "/build/args",
            "names must be variable names",
        );
        check(
            self.build.args.values().all(|value| !value.contains('\0')),
            "/build/args",
            "values must hold no NUL character",
        );
        check(
            self.build.config_args.iter().all(|key| is_arg_name(key)),
            "/build/config_args",
            "must be names of config vars",
        );
        check(
            (10..=21_600).contains(&self.build.timeout_seconds),
            "/build/timeout_seconds",
            "must be from 10 to 21600",
        );
        check(
            (16 << 20..=1 << 42).contains(&self.limits.memory_bytes),
            "/limits/memory_bytes",
            "must be 16777216 (16 MiB) or more",
        );
        check(
            (10..=1_024_000).contains(&self.limits.cpu_millis),
            "/limits/cpu_millis",
            "must be from 10 to 1024000",
        );
        check(
            (8..=1_000_000).contains(&self.limits.pids),
            "/limits/pids",
            "must be from 8 to 1000000",
        );
        check(self.port != Some(0), "/port", "must be from 1 to 65535");
        check(self.drain_seconds <= 3600, "/drain_seconds", "must be from 0 to 3600");
        check(self.watch.seconds <= 3600, "/watch/seconds", "must be from 0 to 3600");
        check(
            (1..=1000).contains(&self.watch.crashes),
            "/watch/crashes",
            "must be from 1 to 1000",
        );
        check(
            (1..=100).contains(&self.watch.error_percent),
            "/watch/error_percent",
            "must be from 1 to 100",
        );
        check(
            self.health.port.is_none(),
            "/health/port",
            "is that of the app for `web`: set `port`",
        );
        found.extend(health_problems(&self.health));
        found.extend(self.process_health_problems());
        found
    }

    fn process_health_problems(&self) -> Vec<SettingsError> {
        let mut found = Vec::new();
        for (process, health) in &self.process_health {
            let mut problem = |field: String, problem: &str| {
                found.push(SettingsError {
                    field: field.into(),
                    problem: problem.to_owned(),
                });
            };
            let pointer = format!("/process_health/{process}");
            if process.is_web() || process.is_release() {
                problem(
                    pointer.clone(),
                    "is for process types other than `web` (which has `health`) and `release`",
                );
            }
            if health.port.is_none_or(|port| port == 0) {
                problem(
                    format!("{pointer}/port"),
                    "must be the port that is checked, from 1 to 65535",
                );
            }
            for wrong in health_problems(health) {
                let field = wrong.field.trim_start_matches("/health");
                problem(format!("{pointer}{field}"), &wrong.problem);
            }
        }
        found
    }

    /// The health check of a process type; none: its instances are healthy while they run.
    pub fn health_of(&self, process: &ProcessType) -> Option<&HealthCheck> {
        if process.is_web() {
            Some(&self.health)
        } else {
            self.process_health.get(process)
        }
    }

    /// The port that a process type listens on.
    pub fn port_of(&self, process: &ProcessType) -> Option<u16> {
        if process.is_web() {
            self.port
        } else {
            self.process_health.get(process).and_then(|health| health.port)
        }
    }

    /// The settings of a release over an image that exposes these ports: `web` gets the port that is set, or else the only one that
    /// is exposed, or else 8080.
    #[must_use]
    pub fn with_port_of(&self, exposed: &[u16]) -> Self {
        let exposed = match exposed {
            [port] => Some(*port),
            _ => None,
        };
        Self {
            port: self.port.or(exposed).or(Some(8080)),
            ..self.clone()
        }
    }

    /// How long a new instance of a process type has to become healthy, in seconds.
    pub fn ready_seconds(&self, process: &ProcessType) -> u32 {
        self.health_of(process).unwrap_or(&self.health).deadline_seconds
    }
}

fn health_problems(health: &HealthCheck) -> Vec<SettingsError> {
    let checks = [
        (
            health.path.as_deref().is_none_or(is_http_path),
            "/health/path",
            "must begin with `/` and hold printable ASCII without spaces, 1024 characters at most",
        ),
        (
            health.interval_seconds <= 3600,
            "/health/interval_seconds",
            "must be from 0 (never again) to 3600",
        ),
        (
            (100..=60_000).contains(&health.timeout_ms),
            "/health/timeout_ms",
            "must be from 100 to 60000",
        ),
        (
            (1..=100).contains(&health.retries),
            "/health/retries",
            "must be from 1 to 100",
        ),
        (
            (1..=3600).contains(&health.deadline_seconds),
            "/health/deadline_seconds",
            "must be from 1 to 3600",
        ),
    ];
    let wrong = checks.into_iter().filter(|(ok, ..)| !ok);
    wrong
        .map(|(_, field, problem)| SettingsError {
            field: field.into(),
            problem: problem.to_owned(),
        })
        .collect()
}

fn is_path_inside(path: &str) -> bool {
    !path.is_empty()
        && path.len() <= 1024
        && !path.starts_with('/')
        && !path.contains(|c: char| c.is_control() || c == '\\')
        && path.split('/').all(|part| part != "..")
}

fn is_stage_name(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn is_arg_name(name: &str) -> bool {
    name.len() <= 256
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_http_path(path: &str) -> bool {
    path.starts_with('/') && path.len() <= 1024 && path.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_make_sense() {
        assert_eq!(AppSettings::default().problems(), []);
    }

    #[test]
    fn other_process_types_need_a_port_to_be_checked() {
        let mut settings = AppSettings::default();
        let worker: ProcessType = "worker".parse().unwrap();
        settings.process_health.insert(worker.clone(), HealthCheck::default());
        let problems = settings.problems();
        assert!(
            matches!(problems.as_slice(), [one] if one.field == "/process_health/worker/port"),
            "{problems:?}"
        );
        settings.process_health.insert(
            worker.clone(),
            HealthCheck {
                port: Some(9000),
                ..HealthCheck::default()
            },
        );
        assert_eq!(settings.problems(), []);
        assert_eq!(settings.port_of(&worker), Some(9000));
        assert_eq!(settings.health_of(&"clock".parse().unwrap()), None);
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let mut settings = AppSettings::default();
        settings.build.dockerfile = Some("../Dockerfile".to_owned());
        settings.build.target = Some("--x".to_owned());
        settings.build.args.insert("A".to_owned(), "a\0b".to_owned());
        settings.health.path = Some("health\r\nX: y".to_owned());
        settings.limits.memory_bytes = 1;
        let problems = settings.problems();
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_ref()).collect();
        assert_eq!(
            fields,
            [
                "/build/dockerfile",
                "/build/target",
                "/build/args",
                "/limits/memory_bytes",
                "/health/path"
            ]
        );
    }
}
