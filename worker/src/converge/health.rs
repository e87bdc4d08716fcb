//! Whether an instance is healthy, and if it does not become so, why.

use std::{net::SocketAddr, time::Duration};

use windlass_domain::{Failure, HealthCheck};
use windlass_runtime::{
    ContainerId, LogsFrom, NotReady, Observed as Seen, ProbeResult, Runtime, Symptoms, diagnose::diagnose, probe_host,
};
use windlass_store::{Clock, InstanceRow, ReleaseRow};

use super::probes::{Probed, Probes};

/// How long one round waits for an instance to become healthy before the others get a look.
pub(super) const PROBE_SLICE: Duration = Duration::from_millis(500);
/// How long it waits for one that is about to be given up, if nobody has looked at it.
pub(super) const LAST_CHANCE: Duration = Duration::from_secs(2);
/// How long the check of one that has been given up may take: by then it is only asked what is wrong.
const LAST_PROBE_MS: u32 = 5_000;
/// A process that serves nothing counts as healthy when it has run this long.
const SETTLED: chrono::Duration = chrono::Duration::seconds(1);

/// Waits a while for the instance to become healthy.
pub(super) async fn is_healthy(
    probes: &Probes,
    (release, row): (&ReleaseRow, &InstanceRow),
    (seen, clock): (&Seen, Clock),
    host: &str,
    patience: Duration,
) -> bool {
    let Some(check) = release.settings.health_of(&row.process) else {
        let settled = row.created_at + SETTLED;
        let wait = (settled - clock.now()).to_std().unwrap_or_default();
        tokio::time::sleep(wait.min(patience)).await;
        return clock.now() >= settled && seen.state.is_running();
    };
    let Some(address) = seen.socket() else {
        tokio::time::sleep(patience).await;
        return false;
    };
    let of = Probed {
        app: row.app,
        instance: row.id,
        address,
    };
    let (check, host) = (check.clone(), host.to_owned());
    let healthy = || async move { becomes_healthy(address, &check, &host).await };
    probes.find_healthy(of, patience, healthy).await
}

/// Looks often at first: a fast app should be routed fast.
async fn becomes_healthy(address: SocketAddr, check: &HealthCheck, host: &str) {
    let mut pause = Duration::from_millis(2);
    while !probe_host(address, check, host).await.is_ready() {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Why an instance of a candidate does not become healthy.
pub(super) async fn diagnosis(
    runtime: &dyn Runtime,
    release: &ReleaseRow,
    (row, clock): (&InstanceRow, Clock),
    seen: Option<&Seen>,
) -> Failure {
    let container = seen
        .map(|seen| seen.container.clone())
        .or_else(|| row.container.clone().map(ContainerId::new));
    let (mut last_lines, mut listening) = (Vec::new(), Vec::new());
    if let Some(container) = &container {
        last_lines = tail(runtime, container).await;
        listening = runtime.listening(container).await.unwrap_or_default();
    }
    let last_probe = last_probe(release, row, seen).await;
    diagnose(&Symptoms {
        process: &row.process,
        port: release.settings.port_of(&row.process),
        listening: &listening,
        exit: seen.and_then(|seen| seen.state.exit()),
        last_lines: &last_lines,
        limits: &release.settings.limits,
        health: release
            .settings
            .health_of(&row.process)
            .unwrap_or(&release.settings.health),
        last_probe: last_probe.as_ref(),
        waited: (clock.now() - row.created_at).to_std().unwrap_or_default(),
    })
}

async fn last_probe(release: &ReleaseRow, row: &InstanceRow, seen: Option<&Seen>) -> Option<NotReady> {
    let seen = seen.filter(|seen| seen.state.is_running())?;
    let mut check = release.settings.health_of(&row.process)?.clone();
    check.timeout_ms = check.timeout_ms.min(LAST_PROBE_MS);
    match probe_host(seen.socket()?, &check, seen.name.app.as_str()).await {
        ProbeResult::Ready => None,
        ProbeResult::NotYet { why } => Some(why),
    }
}

/// The last lines that a container wrote.
async fn tail(runtime: &dyn Runtime, container: &ContainerId) -> Vec<String> {
    use futures::StreamExt;
    let lines = runtime.logs(
        container,
        LogsFrom {
            since: None,
            follow: false,
            tail: Some(20),
        },
    );
    let lines = lines.filter_map(async |line| Some(windlass_domain::log::clean_line(&line.ok()?.text, 500)));
    tokio::time::timeout(Duration::from_secs(2), lines.collect())
        .await
        .unwrap_or_default()
}
