//! Rows of the store as the wire shows them.

use windlass_api_types as wire;
use windlass_domain::{AppName, DeploymentStatus};
use windlass_store::{
    AppRow, Config, ConfigPatched, CrashLoopRow, DeploymentRow, FormationRow, InstanceRow, ReleaseRow, RunLogRow,
    StepRow, TokenRow, Trigger,
};

use crate::ApiConfig;

/// How an app fares.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Where its newest deployment stands.
    pub(crate) newest: Option<DeploymentStatus>,
    /// Process types that end again and again.
    pub(crate) crash_loops: Vec<CrashLoopRow>,
}

fn app_status(row: &AppRow, progress: &Progress) -> wire::AppStatus {
    let deploying = progress.newest.is_some_and(|status| !status.is_terminal());
    match (row.live, progress.newest) {
        _ if row.deleting => wire::AppStatus::Deleting,
        _ if deploying => wire::AppStatus::Deploying,
        (Some(_), _) if progress.crash_loops.is_empty() => wire::AppStatus::Live,
        (Some(_), _) => wire::AppStatus::CrashLooping,
        (None, Some(DeploymentStatus::Failed)) => wire::AppStatus::Failed,
        (None, _) => wire::AppStatus::New,
    }
}

pub(crate) fn app(row: AppRow, progress: Progress, config: &ApiConfig) -> wire::App {
    let status = app_status(&row, &progress);
    let settings = row.settings;
    wire::App {
        id: row.id.to_string(),
        url: config.app_url(&row.name),
        git_url: config.git_url(&row.name),
        name: row.name.into(),
        status,
        repo_url: settings.repo_url.map(String::from),
        branch: settings.branch.into(),
        build: settings.build.into(),
        health: settings.health.into(),
        process_health: settings
            .process_health
            .into_iter()
            .map(|(process, health)| (process.into(), health.into()))
            .collect(),
        limits: settings.limits.into(),
        port: settings.port,
        drain_seconds: settings.drain_seconds,
        strategy: settings.strategy.into(),
        watch: settings.watch.into(),
        crash_loops: progress.crash_loops.into_iter().map(crash_loop).collect(),
        release: row.live.map(|version| version.to_string()),
        deploy_key: row.deploy_key_public,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

fn crash_loop(row: CrashLoopRow) -> wire::CrashLoop {
    wire::CrashLoop {
        process: row.process.into(),
        release: row.release.to_string(),
        crashes: row.crashes,
        reason: row.reason,
        exit_code: row.exit_code,
        last_at: row.last_at,
    }
}

pub(crate) fn deployment(row: DeploymentRow, app: &AppName, config: &ApiConfig) -> wire::Deployment {
    wire::Deployment {
        id: row.id.to_string(),
        app: app.to_string(),
        trigger: trigger(row.trigger),
        kind: row.kind.into(),
        commit: row.commit.map(String::from),
        reference: row.reference,
        message: row.message,
        status: row.status.into(),
        step: row.step.map(wire::Step::from),
        attempt: row.attempt,
        release: row.release.map(|version| version.to_string()),
        failure: row.failure.map(wire::Failure::from),
        superseded_by: row.superseded_by.map(|id| id.to_string()),
        cancel_requested: row.cancel_requested,
        url: config.app_url(app),
        warnings: Vec::new(),
        steps: None,
        created_at: row.created_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
    }
}

/// A deployment as it is shown alone: with its steps.
pub(crate) fn deployment_in_full(
    row: DeploymentRow,
    steps: Vec<StepRow>,
    app: &AppName,
    config: &ApiConfig,
) -> wire::Deployment {
    let steps = steps.into_iter().map(|row| wire::DeploymentStep {
        step: row.step.into(),
        attempt: row.attempt,
        started_at: row.started_at,
        finished_at: row.finished_at,
        outcome: row.outcome,
    });
    wire::Deployment {
        steps: Some(steps.collect()),
        ..deployment(row, app, config)
    }
}

const fn trigger(trigger: Trigger) -> wire::Trigger {
    match trigger {
        Trigger::Push => wire::Trigger::Push,
        Trigger::Api => wire::Trigger::Api,
        Trigger::Webhook => wire::Trigger::Webhook,
        Trigger::Config => wire::Trigger::Config,
        Trigger::Rollback => wire::Trigger::Rollback,
        Trigger::Watch => wire::Trigger::Watch,
        Trigger::Rebuild => wire::Trigger::Rebuild,
    }
}

pub(crate) fn release(row: ReleaseRow) -> wire::Release {
    wire::Release {
        version: row.version.to_string(),
        number: row.version.0,
        deployment: row.deployment.to_string(),
        status: row.status.into(),
        image: row.image_reference,
        commit: row.commit.map(String::from),
        config_version: row.config_version,
        processes: row.processes.into_iter().map(wire::Process::from).collect(),
        description: row.description,
        live: row.live,
        image_available: row.image_available,
        created_at: row.created_at,
    }
}

pub(crate) fn instance(row: InstanceRow) -> wire::Instance {
    wire::Instance {
        id: row.id.to_string(),
        name: format!("{}.{}", row.process, row.n),
        process: row.process.into(),
        release: row.version.to_string(),
        state: row.state.into(),
        health: row.state.into(),
        address: row.address.map(|address| address.to_string()),
        container: row.container,
        exit_code: row.exit_code,
        reason: row.reason,
        created_at: row.created_at,
        healthy_at: row.healthy_at,
        finished_at: row.finished_at,
    }
}

pub(crate) fn formation(rows: Vec<FormationRow>) -> wire::Items<wire::FormationEntry> {
    let entry = |row: FormationRow| wire::FormationEntry {
        process: row.process.into(),
        quantity: row.quantity,
        command: row.command.map(wire::ProcessCommand::from),
    };
    wire::Items {
        items: rows.into_iter().map(entry).collect(),
    }
}

pub(crate) fn config(config: &Config) -> wire::Config {
    let var = |(key, value): (&windlass_domain::ConfigKey, &windlass_domain::Secret)| {
        (key.to_string(), value.expose().clone())
    };
    wire::Config {
        version: config.version,
        vars: config.vars.iter().map(var).collect(),
    }
}

pub(crate) fn config_changed(patched: ConfigPatched, app: &AppName, addresses: &ApiConfig) -> wire::ConfigChanged {
    let wire::Config { version, vars } = config(&patched.config);
    wire::ConfigChanged {
        version,
        vars,
        changed: patched.changed,
        deployment: patched.deployment.map(|row| deployment(row, app, addresses)),
    }
}

pub(crate) fn token(row: TokenRow) -> wire::Token {
    wire::Token {
        id: row.id.to_string(),
        name: row.name,
        created_at: row.created_at,
        last_used_at: row.last_used_at,
    }
}

pub(crate) fn app_log_line(row: RunLogRow) -> wire::AppLogLine {
    wire::AppLogLine {
        id: row.id,
        at: row.at,
        process: row.process,
        instance: row.instance,
        stream: row.stream,
        text: row.text,
    }
}
