//! A worker that is stopped in the middle of a deployment, for five leases, while another one takes over; then it goes on.
//!
//! The second worker has a data directory of its own, and so no repositories: the deployments are of kinds that use an image that is
//! there already. Visitors come through the router of the second engine, because the first one's is told nothing while it is stopped.

use std::time::Duration;

use rustix::process::Signal;
use windlass_testkit::EngineOptions;

use super::{
    Run,
    kill::{Moment, enumerate, finish, next, prepare, takeover},
    tell,
};
use crate::{
    point::{Action, Point, Side, Trap},
    report::Tally,
    stage::{PATIENCE, Stage},
};

const LEASE: Duration = Duration::from_secs(2);
const NAME: &str = "worker stopped for five leases";

/// Stops it at points that the seed chooses.
pub async fn play(run: &Run) -> Tally {
    let mut tally = Tally::new(NAME);
    let mut stage = prepare(run, "stopped", &[("WINDLASS_LEASE_SECONDS", "2")]).await;
    stage.close().await;
    let postgres = stage.postgres.as_ref().expect("this stage has an outer Postgres");
    let options = EngineOptions::default()
        .on(postgres)
        .with("WINDLASS_LEASE_SECONDS", "2");
    stage.second = Some(stage.engine.beside(options).await);
    stage.open(run.visits, run.seed);
    let mut trials = Vec::new();
    for kind in ["config", "rollback"] {
        let points = enumerate(&mut stage, kind).await;
        trials.extend(
            points
                .into_iter()
                .flat_map(|point| Side::BOTH.map(|side| (kind, point.clone(), side))),
        );
    }
    trials.retain(|(kind, point, side)| run.shard.takes(kind, point, *side));
    run.chance(NAME, 0).shuffle(&mut trials);
    let all = trials.len();
    trials.truncate(usize::try_from(run.rounds).unwrap_or(usize::MAX));
    let clock = run.clock();
    for (kind, point, side) in trials {
        if !clock.goes_on() {
            break;
        }
        trial(&mut stage, &mut tally, kind, point, side).await;
    }
    tally.notes.push(format!("{} of {all} boundaries tried", tally.trials));
    let traffic = stage.close().await;
    // The worker that is not stopped waits for its own router only; an installation has one.
    tally.visited(&traffic, false);
    // What comes now needs repositories, which the second engine does not have.
    tokio::task::block_in_place(|| stage.second = None);
    finish(stage, &mut tally).await;
    tally
}

async fn trial(stage: &mut Stage, tally: &mut Tally, kind: &str, point: Point, side: Side) {
    let name = format!("{kind}: stopped {side:?} {point}");
    let ask = next(stage, kind).await;
    let trap = Trap {
        point,
        side,
        action: Action::Stop,
    };
    stage.points.begin(stage.engine.pid(), Some(trap));
    let asked = tokio::time::timeout(Duration::from_secs(3), stage.sites[0].ask(ask)).await;
    let sprung = stage.points.sprung(Duration::from_secs(10)).await;
    let fault = Moment::now();
    if sprung.is_some() {
        tokio::time::sleep(LEASE * 5).await;
    }
    stage.points.end();
    stage.points.let_go();
    stage.engine.signal(Signal::CONT);
    let settled = stage.settle(&stage.expected(), PATIENCE).await;
    if let Some(after) = takeover(&settled.world, fault.epoch).filter(|_| sprung.is_some()) {
        tally.figure("takeover from a stopped worker (lease 2 s), s", after, Some(10.0));
    }
    let heard = asked.is_ok();
    tell(
        tally,
        &format!(
            "{name}: sprung {}, heard {heard}, {} violations",
            sprung.is_some(),
            settled.violations.len()
        ),
    );
    tally.broke(&name, settled.violations);
    tally.tried(&name, sprung.is_some());
}
