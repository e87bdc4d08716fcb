//! Settings as a request wants them: parsed and checked, every problem at once.

use std::{fmt::Display, str::FromStr};

use windlass_api_types::{BuildChanges, Change, FieldProblem, HealthChanges, LimitChanges, UpdateApp};
use windlass_domain::{AppSettings, BuildSettings, HealthCheck, Limits};

use crate::problem::field;

/// `settings` with the changes, or all that is wrong with them.
pub(crate) fn changed(settings: AppSettings, changes: UpdateApp) -> Result<AppSettings, Vec<FieldProblem>> {
    let mut problems = Vec::new();
    let mut settings = settings;
    let default = AppSettings::default();
    parsed(changes.repo_url, "/repo_url", &mut problems)
        .map(Some)
        .apply(&mut settings.repo_url, default.repo_url);
    parsed(changes.branch, "/branch", &mut problems).apply(&mut settings.branch, default.branch);
    match changes.build {
        Change::Keep => {}
        Change::Reset => settings.build = default.build,
        Change::Set(changes) => change_build(&mut settings.build, changes),
    }
    match changes.health {
        Change::Keep => {}
        Change::Reset => settings.health = default.health,
        Change::Set(changes) => change_health(&mut settings.health, changes),
    }
    match changes.limits {
        Change::Keep => {}
        Change::Reset => settings.limits = default.limits,
        Change::Set(changes) => change_limits(&mut settings.limits, changes),
    }
    changes.port.map(Some).apply(&mut settings.port, default.port);
    changes
        .drain_seconds
        .apply(&mut settings.drain_seconds, default.drain_seconds);
    problems.extend(
        settings
            .problems()
            .into_iter()
            .map(|error| field(error.field, error.problem)),
    );
    if problems.is_empty() {
        Ok(settings)
    } else {
        Err(problems)
    }
}

/// Parses a text; what cannot be parsed is noted and left as it was.
fn parsed<T>(change: Change<String>, pointer: &str, problems: &mut Vec<FieldProblem>) -> Change<T>
where
    T: FromStr<Err: Display>,
{
    match change.map(|text| text.parse::<T>()) {
        Change::Keep => Change::Keep,
        Change::Reset => Change::Reset,
        Change::Set(Ok(value)) => Change::Set(value),
        Change::Set(Err(error)) => {
            problems.push(field(pointer, error));
            Change::Keep
        }
    }
}

fn change_build(build: &mut BuildSettings, changes: BuildChanges) {
    let default = BuildSettings::default();
    changes
        .builder
        .map(Into::into)
        .apply(&mut build.builder, default.builder);
    changes
        .dockerfile
        .map(Some)
        .apply(&mut build.dockerfile, default.dockerfile);
    changes.context.map(Some).apply(&mut build.context, default.context);
    changes.target.map(Some).apply(&mut build.target, default.target);
    changes.args.apply(&mut build.args, default.args);
    changes.config_args.apply(&mut build.config_args, default.config_args);
    changes.submodules.apply(&mut build.submodules, default.submodules);
    changes
        .timeout_seconds
        .apply(&mut build.timeout_seconds, default.timeout_seconds);
}

fn change_health(health: &mut HealthCheck, changes: HealthChanges) {
    let default = HealthCheck::default();
    changes.path.map(Some).apply(&mut health.path, default.path);
    changes.timeout_ms.apply(&mut health.timeout_ms, default.timeout_ms);
    changes
        .deadline_seconds
        .apply(&mut health.deadline_seconds, default.deadline_seconds);
}

fn change_limits(limits: &mut Limits, changes: LimitChanges) {
    let default = Limits::default();
    changes
        .memory_bytes
        .apply(&mut limits.memory_bytes, default.memory_bytes);
    changes.cpu_millis.apply(&mut limits.cpu_millis, default.cpu_millis);
    changes.pids.apply(&mut limits.pids, default.pids);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn change(settings: AppSettings, changes: Value) -> Result<AppSettings, Vec<FieldProblem>> {
        changed(settings, serde_json::from_value(changes).unwrap())
    }

    #[test]
    fn only_what_is_named_changes_and_null_is_the_default() {
        let before = change(
            AppSettings::default(),
            json!({"port": 3000, "build": {"target": "web", "context": "app"}, "limits": {"pids": 64}}),
        )
        .unwrap();
        let after = change(
            before,
            json!({"build": {"target": null}, "limits": null, "branch": "live"}),
        )
        .unwrap();
        assert_eq!(after.port, Some(3000));
        assert_eq!(after.build.target, None);
        assert_eq!(after.build.context.as_deref(), Some("app"));
        assert_eq!(after.limits, Limits::default());
        assert_eq!(after.branch.as_str(), "live");
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let problems = change(
            AppSettings::default(),
            json!({
                "repo_url": "file:///etc", "branch": "-h", "port": 0,
                "build": {"dockerfile": "../x", "timeout_seconds": 1}, "health": {"path": "x"},
            }),
        )
        .unwrap_err();
        let mut pointers: Vec<&str> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
        pointers.sort_unstable();
        let expected = [
            "/branch",
            "/build/dockerfile",
            "/build/timeout_seconds",
            "/health/path",
            "/port",
            "/repo_url",
        ];
        assert_eq!(pointers, expected);
    }

    #[test]
    fn addresses_that_git_would_run_are_refused() {
        for url in [
            "ext::sh -c id",
            "--upload-pack=x",
            "/srv/repo",
            "https://user:password@host/a",
        ] {
            let problems = change(AppSettings::default(), json!({"repo_url": url})).unwrap_err();
            assert_eq!(problems[0].pointer, "/repo_url", "{url}");
        }
    }
}
