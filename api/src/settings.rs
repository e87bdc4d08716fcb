//! Settings as a request wants them: parsed and checked, every problem at once.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use windlass_api_types::{
    BuildChanges, Change, FieldProblem, HealthChanges, LimitChanges, ProcessHealthChanges, UpdateApp, WatchChanges,
};
use windlass_domain::{AppSettings, BuildSettings, HealthCheck, Limits, ProcessType, Watch};

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
        Change::Set(changes) => change_health(&mut settings.health, changes, "/health", &mut problems),
    }
    match changes.process_health {
        Change::Keep => {}
        Change::Reset => settings.process_health = default.process_health,
        Change::Set(changes) => change_process_health(&mut settings.process_health, changes, &mut problems),
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
    changes
        .strategy
        .map(Into::into)
        .apply(&mut settings.strategy, default.strategy);
    match changes.watch {
        Change::Keep => {}
        Change::Reset => settings.watch = default.watch,
        Change::Set(changes) => change_watch(&mut settings.watch, &changes),
    }
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

fn change_health(health: &mut HealthCheck, changes: HealthChanges, pointer: &str, problems: &mut Vec<FieldProblem>) {
    let default = HealthCheck::default();
    changes.path.map(Some).apply(&mut health.path, default.path);
    parsed(changes.status, &format!("{pointer}/status"), problems).apply(&mut health.status, default.status);
    changes.port.map(Some).apply(&mut health.port, default.port);
    changes
        .interval_seconds
        .apply(&mut health.interval_seconds, default.interval_seconds);
    changes.retries.apply(&mut health.retries, default.retries);
    changes.timeout_ms.apply(&mut health.timeout_ms, default.timeout_ms);
    changes
        .deadline_seconds
        .apply(&mut health.deadline_seconds, default.deadline_seconds);
}

fn change_process_health(
    checks: &mut BTreeMap<ProcessType, HealthCheck>,
    changes: ProcessHealthChanges,
    problems: &mut Vec<FieldProblem>,
) {
    for (name, changes) in changes {
        let pointer = format!("/process_health/{}", name.replace('~', "~0").replace('/', "~1"));
        match (name.parse::<ProcessType>(), changes) {
            (Err(error), _) => problems.push(field(pointer, error)),
            (Ok(process), None) => drop(checks.remove(&process)),
            (Ok(process), Some(changes)) => {
                change_health(checks.entry(process).or_default(), changes, &pointer, problems);
            }
        }
    }
}

fn change_watch(watch: &mut Watch, changes: &WatchChanges) {
    let default = Watch::default();
    changes.seconds.apply(&mut watch.seconds, default.seconds);
    changes.crashes.apply(&mut watch.crashes, default.crashes);
    changes
        .error_percent
        .apply(&mut watch.error_percent, default.error_percent);
    changes
        .min_requests
        .apply(&mut watch.min_requests, default.min_requests);
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
    fn a_health_check_of_a_process_type_is_set_changed_and_removed() {
        let set = change(
            AppSettings::default(),
            json!({"process_health": {"worker": {"port": 9000, "status": "200,204"}, "clock": {"port": 9001}}}),
        )
        .unwrap();
        let worker = |settings: &AppSettings| settings.health_of(&"worker".parse().unwrap()).cloned();
        assert_eq!(worker(&set).unwrap().status.to_string(), "200,204");
        let changed = change(
            set,
            json!({"process_health": {"worker": {"path": "/up", "status": null}, "clock": null}}),
        )
        .unwrap();
        let check = worker(&changed).unwrap();
        assert_eq!(
            (check.port, check.path.as_deref(), check.status.to_string().as_str()),
            (Some(9000), Some("/up"), "200-399")
        );
        assert_eq!(changed.process_health.len(), 1);
        let none = change(changed, json!({"process_health": null})).unwrap();
        assert_eq!(none, AppSettings::default());
    }

    #[test]
    fn strategy_and_watch_are_set_and_reset() {
        let set = change(
            AppSettings::default(),
            json!({"strategy": "blue_green", "watch": {"seconds": 0, "crashes": 5}}),
        )
        .unwrap();
        assert_eq!(set.strategy, windlass_domain::Strategy::BlueGreen);
        assert_eq!(
            (set.watch.seconds, set.watch.crashes, set.watch.min_requests),
            (0, 5, 20)
        );
        let reset = change(
            set,
            json!({"strategy": null, "watch": {"seconds": null, "crashes": null}}),
        )
        .unwrap();
        assert_eq!(reset, AppSettings::default());
    }

    #[test]
    fn each_wrong_check_is_named_by_its_process_type_and_field() {
        let problems = change(
            AppSettings::default(),
            json!({
                "health": {"status": "2xx", "port": 80, "retries": 0, "interval_seconds": 9999},
                "process_health": {"worker": {"status": "9"}, "Clock": {}, "web": {"port": 1}, "cron": {"port": 0}},
                "watch": {"error_percent": 101},
            }),
        )
        .unwrap_err();
        let mut pointers: Vec<&str> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
        pointers.sort_unstable();
        let expected = [
            "/health/interval_seconds",
            "/health/port",
            "/health/retries",
            "/health/status",
            "/process_health/Clock",
            "/process_health/cron/port",
            "/process_health/web",
            "/process_health/worker/port",
            "/process_health/worker/status",
            "/watch/error_percent",
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
