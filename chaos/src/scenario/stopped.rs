//! A worker that is stopped in the middle of a deployment, for five leases, while another one takes over; then it goes on.
//!
//! Two workers share a data directory; the API and the router are processes of their own and notice nothing. Whichever worker comes to
//! the point is the one that is stopped.

use std::time::Duration;

use rustix::process::Signal;

use super::{
    Run,
    kill::{Moment, enumerate, finish, furnish, next, takeover},
    schedule::{both_sides, scheduled},
    tell,
};
use crate::{
    point::{Action, Point, Side, Trap},
    report::Tally,
    stage::{PATIENCE, Stage},
};

const LEASE: Duration = Duration::from_secs(2);
const NAME: &str = "worker stopped for five leases";
/// What is tried, the most telling first.
const KINDS: [&str; 6] = ["deploy", "config", "push", "rollback", "scale", "restart"];
/// How long an answer of the API may take; a push ends with its deployment.
const ANSWER: Duration = Duration::from_secs(120);
/// How long a point that was seen once is waited for.
const REACH: Duration = Duration::from_secs(12);

/// Stops it at points that the seed chooses.
pub async fn play(run: &Run) -> Tally {
    let mut tally = Tally::new(NAME);
    let mut setup = run.setup("stopped");
    setup.workers = 2;
    setup.environment = vec![("WINDLASS_LEASE_SECONDS".to_owned(), LEASE.as_secs().to_string())];
    let mut stage = furnish(run, &mut tally, Stage::build(setup).await).await;
    let mut trials = Vec::new();
    for kind in KINDS.into_iter().take(run.kinds) {
        let points = enumerate(&mut stage, &mut tally, kind).await;
        tally.notes.push(format!("{kind}: {} points of workers", points.len()));
        trials.extend(both_sides(kind, points));
    }
    let all = trials.len();
    let clock = run.clock();
    for (kind, point, side) in scheduled(run, NAME, trials) {
        if tally.trials >= run.rounds || !clock.goes_on() {
            break;
        }
        trial(&mut stage, &mut tally, kind, (point, side)).await;
    }
    tally.notes.push(format!(
        "stopped at {} of {all} boundaries (points x before and after)",
        tally.trials
    ));
    finish(stage, &mut tally).await;
    tally
}

async fn trial(stage: &mut Stage, tally: &mut Tally, kind: &str, (point, side): (Point, Side)) {
    let name = format!("{kind}: stopped {side:?} {point}");
    let ask = next(stage, kind).await;
    let trap = Trap {
        point,
        side,
        action: Action::Stop,
    };
    stage.count(Some(trap));
    let (answered, (sprung, fault)) =
        tokio::join!(tokio::time::timeout(ANSWER, stage.sites[0].ask(ask)), meanwhile(stage));
    let settled = stage.settle(tally, &name, &stage.expected(), PATIENCE).await;
    if let Some(after) = takeover(&settled.world, fault.epoch).filter(|_| sprung) {
        tally.figure("takeover from a stopped worker (lease 2 s), s", after, Some(10.0));
    }
    let (answered, found) = (answered.is_ok(), settled.violations.len());
    tell(
        tally,
        &format!("{name}: reached {sprung}, answered {answered}, {found} violations"),
    );
    tally.tried(&name, sprung);
}

/// Waits until the trap has sprung and for five leases more, then lets the worker go on; gives whether and when it sprang.
async fn meanwhile(stage: &Stage) -> (bool, Moment) {
    let sprung = stage.points.sprung(REACH).await.is_some();
    let fault = Moment::now();
    if sprung {
        tokio::time::sleep(LEASE * 5).await;
    }
    stage.points.end();
    stage.points.let_go();
    for worker in &stage.workers {
        worker.signal(Signal::CONT);
    }
    (sprung, fault)
}
