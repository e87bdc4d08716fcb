//! Takes deployments from the queue, as many as this worker has room for. What waits stays in the queue, where it is shared out
//! fairly and where any other worker may take it.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use windlass_store::{Claim, Wanted};

use crate::{
    context::Shared,
    deploy::{self, WAITS_FOR_DOCKER},
};

/// How often the queue is looked at when no notification comes.
const POLL: Duration = Duration::from_secs(2);
/// Deployments that are carried through at a time, builds included: most of their time they wait for Docker.
const AT_ONCE: usize = 32;

/// What this worker still has room for.
struct Room {
    all: Arc<Semaphore>,
    builds: Arc<Semaphore>,
}

impl Room {
    /// Whoever wants a deployment ended is heard at any time. While Docker is away nothing else is begun: it would only fail, as what
    /// has waited long enough for it shall.
    fn wanted(&self, docker_is_away_for: Option<Duration>) -> Wanted {
        match (
            self.all.available_permits(),
            docker_is_away_for,
            self.builds.available_permits(),
        ) {
            (0, _, _) => Wanted::Cancelled,
            (_, Some(away), _) if away >= WAITS_FOR_DOCKER => Wanted::Overdue(WAITS_FOR_DOCKER),
            (_, Some(_), _) => Wanted::Cancelled,
            (_, None, 0) => Wanted::Built,
            (_, None, _) => Wanted::Any,
        }
    }

    /// Only this loop takes, so that what it saw is still there.
    fn take(&self, claim: &Claim) -> Vec<OwnedSemaphorePermit> {
        let build = claim.is_build().then_some(&self.builds);
        let taken = std::iter::once(&self.all).chain(build);
        taken.filter_map(|room| room.clone().try_acquire_owned().ok()).collect()
    }
}

/// Claims whatever can be claimed, whenever the database notifies, a deployment ends or the clock says so.
pub(crate) async fn run(shared: Arc<Shared>) {
    let builds = usize::try_from(shared.config.builds).unwrap_or(1).max(1);
    let room = Room {
        all: Arc::new(Semaphore::new(AT_ONCE.max(2 * builds))),
        builds: Arc::new(Semaphore::new(builds)),
    };
    while !shared.shutdown.is_cancelled() {
        claim_all(&shared, &room).await;
        tokio::select! {
            () = shared.shutdown.cancelled() => {}
            () = shared.work_waits.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

async fn claim_all(shared: &Arc<Shared>, room: &Room) {
    while !shared.shutdown.is_cancelled() {
        let outage = &shared.outage;
        let wanted = room.wanted(outage.goes_on(Utc::now()).then(|| outage.age()));
        match shared
            .store
            .claim_deployment(shared.id, shared.config.lease, wanted)
            .await
        {
            Ok(Some(claim)) => {
                let taken = room.take(&claim);
                let own = shared.clone();
                shared.tasks.spawn(async move {
                    deploy::run(&own, claim).await;
                    drop(taken);
                    // There is room for another one, and one of the same app may go on.
                    own.work_waits.notify_one();
                });
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(
                    error = format!("{:#}", anyhow::Error::from(error)),
                    "cannot claim deployments"
                );
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(all: usize, builds: usize) -> Room {
        let slots = |permits| Arc::new(Semaphore::new(permits));
        Room {
            all: slots(all),
            builds: slots(builds),
        }
    }

    #[test]
    fn without_docker_only_what_ends_is_wanted() {
        let away = |seconds| Some(Duration::from_secs(seconds));
        let wanted = |all, builds| [None, away(3599), away(3600)].map(|away| room(all, builds).wanted(away));
        let overdue = Wanted::Overdue(Duration::from_secs(3600));
        assert_eq!(wanted(9, 1), [Wanted::Any, Wanted::Cancelled, overdue]);
        assert_eq!(wanted(9, 0), [Wanted::Built, Wanted::Cancelled, overdue]);
        assert_eq!(wanted(0, 0), [Wanted::Cancelled; 3]);
    }
}
