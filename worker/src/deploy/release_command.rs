//! The `release` process: runs once in the new image before the switch; its failure keeps the old release.

use std::{collections::BTreeMap, time::Duration};

use futures::StreamExt;
use windlass_domain::{Failure, FailureCode, InstanceId, InstanceName, LogSource, ProcessType, Step};
use windlass_runtime::{ContainerId, InstanceSpec, LogsFrom, Role, Scope, StartError, Started, diagnose};
use windlass_store::ReleaseRow;

use super::{Deploy, End};
use crate::{converge::container, network};

/// A migration may take its time, but not for ever.
const TIMEOUT: Duration = Duration::from_secs(3600);
/// Of its output so much is kept.
const MAX_OUTPUT_BYTES: usize = 1 << 20;
/// The highest number that is tried for the container's name.
const LAST_NAME: u32 = 800;

pub(super) async fn run(deploy: &Deploy<'_>, release: &ReleaseRow) -> Result<(), End> {
    // An earlier attempt has got beyond it.
    if release.live || deploy.claim.deployment.step.is_some_and(|step| step >= Step::Start) {
        return Ok(());
    }
    let Some(process) = release.processes.iter().find(|spec| spec.process.is_release()) else {
        return deploy.finish_step(Step::Release, "done").await;
    };
    deploy.enter(Step::Release).await?;
    deploy.log.heading("Running the release command".to_owned());
    remove_leftovers(deploy).await?;
    let started = start(deploy, release, &process.process).await?;
    let result = tokio::select! {
        () = deploy.cancel.cancelled() => Err(End::Cancelled),
        result = tokio::time::timeout(TIMEOUT, follow(deploy, &started.container)) => match result {
            Ok(result) => result,
            Err(_) => Err(End::Failed(too_slow())),
        },
    };
    deploy.shared.runtime.remove(&started.container).await?;
    deploy
        .finish_step(Step::Release, if result.is_ok() { "done" } else { "failed" })
        .await?;
    result
}

/// Starts the command under the first name that is free: names are labels, and another engine may use the same.
async fn start(deploy: &Deploy<'_>, release: &ReleaseRow, process: &ProcessType) -> Result<Started, End> {
    let mut spec = spec(deploy, release, process).await?;
    loop {
        match deploy.shared.runtime.start(&spec).await {
            Ok(started) => return Ok(started),
            Err(StartError::CannotExecute { exit, message }) => {
                return Err(End::Failed(diagnose::cannot_execute(process, exit, &message)));
            }
            Err(StartError::NameTaken { .. }) if spec.name.n < LAST_NAME => spec.name.n += 100,
            Err(error) => return Err(error.into()),
        }
    }
}

/// A worker that was killed in the middle leaves its release container behind.
pub(super) async fn remove_leftovers(deploy: &Deploy<'_>) -> anyhow::Result<()> {
    let runtime = &deploy.shared.runtime;
    let seen = runtime.observe(Scope::App(deploy.claim.app.id)).await?;
    for leftover in seen.into_iter().filter(|c| c.role == Role::Release) {
        runtime.remove(&leftover.container).await?;
    }
    Ok(())
}

async fn spec(deploy: &Deploy<'_>, release: &ReleaseRow, process: &ProcessType) -> Result<InstanceSpec, End> {
    let shared = deploy.shared;
    let Some(work) = shared.store.app_work(deploy.claim.app.id).await? else {
        return Err(End::Cancelled);
    };
    let network = network::ensure(shared, work.app.id, &work.app.name, work.subnet).await?;
    let command = release
        .processes
        .iter()
        .find(|spec| spec.process == *process)
        .and_then(|spec| spec.command.clone());
    Ok(InstanceSpec {
        // One run for each attempt: a repeated attempt finds its own container and no other.
        instance: InstanceId::generate(),
        name: InstanceName {
            app: work.app.name.clone(),
            process: process.clone(),
            release: release.version,
            n: u32::try_from(deploy.claim.attempt).unwrap_or(1),
        },
        role: Role::Release,
        app: work.app.id,
        release: release.id,
        deployment: Some(deploy.claim.deployment.id),
        image: release.image_reference.clone(),
        command,
        env: container::environment(shared, &work, release, process).await?,
        port: None,
        restart_seq: 0,
        limits: release.settings.limits.clone(),
        network,
        extra_labels: BTreeMap::new(),
        gate: None,
        stop_grace: Duration::from_secs(10),
    })
}

async fn follow(deploy: &Deploy<'_>, container: &ContainerId) -> Result<(), End> {
    let runtime = &deploy.shared.runtime;
    let redactor = deploy.redactor().await?;
    let mut lines = runtime.logs(
        container,
        LogsFrom {
            since: None,
            follow: true,
            tail: None,
        },
    );
    let mut last = Vec::new();
    let mut bytes = 0;
    while let Some(Ok(line)) = lines.next().await {
        let text = redactor.redact(&line.text);
        let before = bytes;
        bytes += text.len();
        if bytes <= MAX_OUTPUT_BYTES {
            deploy.log.line(LogSource::App, &format!("       {text}"));
        } else if before <= MAX_OUTPUT_BYTES {
            deploy.log.detail("… the rest of its output is not kept");
        }
        last.push(windlass_domain::log::clean_line(&text, 500));
        if last.len() > 20 {
            last.remove(0);
        }
    }
    let exit = runtime.wait(container).await?;
    if exit.code == 0 {
        return Ok(());
    }
    let seen = runtime.observe(Scope::App(deploy.claim.app.id)).await?;
    let own = seen.iter().find(|seen| seen.container == *container);
    if own.is_some_and(|own| deploy.shared.outage.ended(own.state)) {
        return Err(anyhow::anyhow!("Docker was restarted while the release command ran").into());
    }
    let limits = &deploy.claim.app.settings.limits;
    Err(End::Failed(diagnose::release_failed(exit, &last, limits)))
}

fn too_slow() -> Failure {
    Failure::new(
        FailureCode::ReleaseFailed,
        format!(
            "the release command did not end within {} minutes",
            TIMEOUT.as_secs() / 60
        ),
        "move long work out of the `release` command, for example into a process type of its own",
    )
}
