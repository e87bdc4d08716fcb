//! Names the release as the app's candidate and waits until the converge loop has made it live, or says why it cannot.

use std::time::Duration;

use tokio::sync::broadcast;
use windlass_domain::{Failure, FailureCode, InstanceState, Step, Strategy};
use windlass_store::{AppWork, Event, ReleaseRow, TakenBack};

use super::{Deploy, End};
use crate::Exception;

/// How often the rows are looked at when no notification comes.
const POLL: Duration = Duration::from_millis(500);

/// How long the swarm lasts in which notifications come.
const SWARM: Duration = Duration::from_millis(25);

pub(super) async fn run(deploy: &Deploy<'_>, release: &ReleaseRow) -> Result<(), End> {
    let (store, app) = (&deploy.shared.store, deploy.claim.app.id);
    // Registered before the first look: what happens in between is not missed.
    let mut events = store.events();
    deploy.enter(Step::Start).await?;
    let already_live = deploy.live(app).await?.is_some_and(|work| is_live(&work, release));
    if !already_live {
        deploy.log.heading(format!("Starting {}", release.version));
        if release.settings.strategy == Strategy::Recreate
            && deploy.live(app).await?.is_some_and(|work| work.live.is_some())
        {
            deploy
                .log
                .detail("Strategy `recreate`: the app does not answer from now until the new release is healthy");
        }
        let ours = store
            .set_candidate(deploy.claim.deployment.id, deploy.claim.attempt, release.id)
            .await?;
        if !ours {
            return Err(End::Fault(anyhow::anyhow!("the deployment was taken over")));
        }
        deploy.shared.converger.wake(app);
    }
    watch(deploy, release, &mut events).await
}

/// The deployment ends without success, so that its release must not go live any more. It may have done so in the very moment in which
/// it was cancelled, or while another step was tried again: what is, counts.
pub(super) async fn withdraw(deploy: &Deploy<'_>, release: &ReleaseRow, end: End) -> Result<(), End> {
    let (deployment, attempt) = (deploy.claim.deployment.id, deploy.claim.attempt);
    match deploy.shared.store.take_back(deployment, attempt, release.id).await? {
        None => Err(End::Fault(anyhow::anyhow!("the deployment was taken over"))),
        Some(TakenBack::TooLate) => Ok(()),
        Some(TakenBack::InTime) => {
            deploy.shared.converger.wake(deploy.claim.app.id);
            wait_until_gone(deploy, release).await?;
            Err(end)
        }
    }
}

fn is_live(work: &AppWork, release: &ReleaseRow) -> bool {
    work.live.as_ref().is_some_and(|live| live.id == release.id)
}

impl Deploy<'_> {
    async fn live(&self, app: windlass_domain::AppId) -> Result<Option<AppWork>, End> {
        Ok(self.shared.store.app_work(app).await?)
    }
}

async fn watch(deploy: &Deploy<'_>, release: &ReleaseRow, events: &mut broadcast::Receiver<Event>) -> Result<(), End> {
    let app = deploy.claim.app.id;
    let mut step = Step::Start;
    let mut patience = Patience::default();
    loop {
        let Some(work) = deploy.live(app).await? else {
            return Err(End::Cancelled);
        };
        if work.app.deleting {
            return Err(End::Cancelled);
        }
        if is_live(&work, release) {
            break;
        }
        if work
            .candidate
            .as_ref()
            .is_none_or(|candidate| candidate.id != release.id)
        {
            return Err(End::Fault(anyhow::anyhow!(
                "the release is no longer the app's candidate"
            )));
        }
        if patience.is_over(longest(&work, release), deploy.waits_for_docker()) {
            deploy.finish_step(step, "failed").await?;
            return Err(End::Failed(never_started(&work, release)));
        }
        if let Some(failure) = work.candidate_failure {
            deploy.finish_step(step, "failed").await?;
            let redactor = deploy.redactor().await?;
            let evidence = failure.evidence.iter().map(|line| redactor.redact(line)).collect();
            return Err(End::Failed(windlass_domain::Failure { evidence, ..failure }));
        }
        if step == Step::Start && all_started(&work, release) {
            deploy.finish_step(Step::Start, "done").await?;
            deploy.enter(Step::Probe).await?;
            deploy
                .log
                .heading(format!("Waiting for {} to become healthy", describe(&work, release)));
            step = Step::Probe;
        }
        wait(deploy, events).await?;
    }
    deploy.finish_step(step, "done").await?;
    deploy
        .shared
        .store
        .enter_step(deploy.claim.deployment.id, deploy.claim.attempt, Step::Route)
        .await?;
    route(deploy).await;
    deploy.finish_step(Step::Route, "done").await
}

/// It is live when requests get there. A router that does not take the table has its last one, which may still lead to the old
/// instances: they are not stopped before the router has the new one.
async fn route(deploy: &Deploy<'_>) {
    let deadline = tokio::time::Instant::now() + ROUTE_WITHIN;
    loop {
        let Err(error) = deploy.shared.routes.publish_for(&deploy.claim.app.name).await else {
            return;
        };
        if tokio::time::Instant::now() > deadline {
            deploy.log.error(&not_routed(&error));
            let error = format!("{error:#}");
            return tracing::warn!(
                error,
                "the route table could not be handed over; the converge loop tries again"
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What is said to whoever deploys.
fn not_routed(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Exception>() {
        Some(exception) => format!(
            "Not all requests get to this release yet, for {exception}. It is tried again until then, and the instances before it go on"
        ),
        None => "The router does not answer; requests get to this release as soon as it does".to_owned(),
    }
}

/// A router that was killed is back within a second.
const ROUTE_WITHIN: Duration = Duration::from_secs(15);

/// How long a deployment has waited for its instances.
#[derive(Default)]
struct Patience {
    waited: Duration,
    looked: Option<tokio::time::Instant>,
}

impl Patience {
    /// Whether it has waited for longer than that. The time since the last look does not count if Docker is to blame for it.
    fn is_over(&mut self, longest: Duration, docker_is_to_blame: bool) -> bool {
        let now = tokio::time::Instant::now();
        let since = self.looked.replace(now).map_or(Duration::ZERO, |looked| now - looked);
        if !docker_is_to_blame {
            self.waited += since;
        }
        self.waited > longest
    }
}

/// An instance has its own deadline for becoming healthy; this one is for whatever keeps instances from being started at all.
fn longest(work: &AppWork, release: &ReleaseRow) -> Duration {
    let settings = &release.settings;
    let slowest = release
        .processes
        .iter()
        .map(|spec| settings.ready_seconds(&spec.process))
        .max();
    let one_batch = u64::from(slowest.unwrap_or(60)) * 2 + 120;
    let largest = work
        .formation
        .iter()
        .map(|(_, quantity, _)| *quantity)
        .max()
        .unwrap_or(1)
        .max(1);
    let batches = largest.div_ceil(settings.strategy.surge(largest).max(1));
    let waits_for_old = match settings.strategy {
        Strategy::Recreate => u64::from(settings.drain_seconds) * 2 + 30,
        Strategy::Rolling | Strategy::BlueGreen => 0,
    };
    Duration::from_secs(one_batch * u64::from(batches) + waits_for_old)
}

fn never_started(work: &AppWork, release: &ReleaseRow) -> Failure {
    let reasons = work
        .instances
        .iter()
        .filter(|row| row.release == release.id)
        .filter_map(|row| row.reason.clone());
    let failure = Failure::new(
        FailureCode::MachineLimit,
        format!(
            "the instances of {} could not be started within {} s",
            release.version,
            longest(work, release).as_secs()
        ),
        "run `windlassd doctor` on the server and look at the log of windlassd, then deploy again",
    );
    failure.with_evidence(reasons.take(3))
}

fn all_started(work: &AppWork, release: &ReleaseRow) -> bool {
    let mut instances = work.instances.iter().filter(|row| row.release == release.id).peekable();
    instances.peek().is_some() && instances.all(|row| row.container.is_some())
}

fn describe(work: &AppWork, release: &ReleaseRow) -> String {
    let names: Vec<String> = work
        .instances
        .iter()
        .filter(|row| row.release == release.id && row.state.is_live())
        .map(|row| format!("{}.{}", row.process, row.n))
        .collect();
    if names.is_empty() {
        release.version.to_string()
    } else {
        names.join(", ")
    }
}

/// Waits for news of the app.
async fn wait(deploy: &Deploy<'_>, events: &mut broadcast::Receiver<Event>) -> Result<(), End> {
    let app = deploy.claim.app.id;
    let news = async {
        loop {
            match events.recv().await {
                Ok(Event::App(of) | Event::Deployment { app: of, .. }) if of == app => return,
                Ok(Event::Resync) | Err(broadcast::error::RecvError::Lagged(_)) => return,
                Ok(_) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    tokio::select! {
        () = deploy.cancel.cancelled() => return Err(End::Cancelled),
        () = news => {}
        () = tokio::time::sleep(POLL) => {}
    }
    // News come in swarms, and just then the converge loop is about to switch: who only watches lets it go first.
    tokio::time::sleep(SWARM).await;
    *events = events.resubscribe();
    Ok(())
}

/// A deployment has ended only when nothing of it runs any more.
async fn wait_until_gone(deploy: &Deploy<'_>, release: &ReleaseRow) -> Result<(), End> {
    let grace = Duration::from_secs(u64::from(release.settings.drain_seconds) + 20);
    let deadline = tokio::time::Instant::now() + grace;
    while tokio::time::Instant::now() < deadline {
        let Some(work) = deploy.live(deploy.claim.app.id).await? else {
            return Ok(());
        };
        let left = work
            .instances
            .iter()
            .any(|row| row.release == release.id && row.state.is_live() && row.state != InstanceState::Stopped);
        if !left {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tracing::warn!(release = %release.id, "instances of an ended deployment take long to stop");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_loses_patience_with_a_release_because_docker_is_away() {
        let mut patience = Patience::default();
        let second = Duration::from_secs(1);
        let longest = 10 * second;
        let mut is_over_after = async |seconds: u32, docker_is_to_blame| {
            tokio::time::advance(seconds * second).await;
            patience.is_over(longest, docker_is_to_blame)
        };
        assert!(!is_over_after(99, false).await, "it has only begun");
        assert!(!is_over_after(6, false).await);
        assert!(!is_over_after(1000, true).await);
        assert!(!is_over_after(4, false).await);
        assert!(is_over_after(1, false).await);
    }
}
