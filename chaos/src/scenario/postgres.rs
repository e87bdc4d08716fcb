//! Postgres killed, stopped, unreachable, its connections cut, its notifications lost — while deployments are under way.

use std::time::{Duration, Instant};

use http::Method;
use windlass_testkit::kill_postgres;

use super::{
    Run,
    kill::{Moment, finish, furnish, next, prepare, recover},
    tell,
};
use crate::{
    history::Outcome,
    proxy::Line,
    report::Tally,
    stage::{PATIENCE, Stage},
};

/// What is done to an outer Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Killed,
    Stopped,
    Silent,
    Cut,
    Unnotified,
}

const FAULTS: [Fault; 5] = [
    Fault::Killed,
    Fault::Stopped,
    Fault::Silent,
    Fault::Cut,
    Fault::Unnotified,
];

/// The engine's own cluster, killed with SIGKILL at random instants.
pub async fn embedded(run: &Run) -> Tally {
    let mut tally = Tally::new("embedded Postgres killed");
    let mut setup = run.setup("postgres-embedded");
    setup.embedded = true;
    let mut stage = furnish(run, &mut tally, Stage::build(setup).await).await;
    let clock = run.clock();
    for round in run.rounds_of(run.rounds.div_ceil(3)) {
        if !clock.goes_on() {
            break;
        }
        let mut chance = run.chance("postgres-embedded", round);
        let kind = *chance.one_of(&["deploy", "config", "scale", "rollback"]);
        let after = Duration::from_millis(chance.below(1500));
        let ask = next(&stage, kind).await;
        let data = stage.engine.data_dir().join("postgres/data");
        let (_, ()) = tokio::join!(stage.sites[0].ask(ask), async {
            tokio::time::sleep(after).await;
            kill_postgres(&data).await;
        });
        let fault = Moment::now();
        tally.measure(
            "engine ready after Postgres was killed",
            until_ready(&stage).await,
            Some(5.0),
        );
        recover(
            &mut stage,
            &mut tally,
            &format!("{round}: {kind}, killed after {after:?}"),
            fault,
        )
        .await;
    }
    finish(stage, &mut tally).await;
    tally
}

/// An outer server, with every fault in turn.
pub async fn outer(run: &Run) -> Tally {
    let mut tally = Tally::new("outer Postgres fails");
    let mut stage = prepare(run, &mut tally, "postgres-outer", &[]).await;
    let clock = run.clock();
    for round in run.rounds_of(run.rounds.div_ceil(3).max(FAULTS.len() as u64)) {
        if !clock.goes_on() {
            break;
        }
        let mut chance = run.chance("postgres-outer", round);
        let fault = FAULTS[usize::try_from(round).unwrap_or_default() % FAULTS.len()];
        let kind = *chance.one_of(&["deploy", "config", "rollback", "push"]);
        let after = Duration::from_millis(chance.below(1500));
        let name = format!("{round}: {kind}, {fault:?} after {after:?}");
        tell(&tally, &name);
        let ask = next(&stage, kind).await;
        let (outcome, ()) = tokio::join!(stage.sites[0].ask(ask), async {
            tokio::time::sleep(if fault == Fault::Unnotified {
                Duration::ZERO
            } else {
                after
            })
            .await;
            break_it(&stage, fault, run.outage, &mut tally).await;
        });
        let healed = Moment::now();
        if fault != Fault::Unnotified {
            tally.measure(
                "engine ready after Postgres was back",
                until_ready(&stage).await,
                Some(5.0),
            );
        }
        recover(&mut stage, &mut tally, &name, healed).await;
        if let (
            Fault::Unnotified,
            Outcome::Acknowledged {
                deployment: Some(id), ..
            },
        ) = (fault, outcome)
        {
            let sql = format!("{WAITED} where replace(id::text, '-', '') = '{}'", plain(&id));
            let waited = stage.engine.try_database(&sql);
            if let Some(waited) = waited.await.ok().and_then(|text| text.parse().ok()) {
                tally.figure(
                    "pick-up of a deployment whose notification was lost, s",
                    waited,
                    Some(3.0),
                );
            }
        }
    }
    finish(stage, &mut tally).await;
    tally
}

const WAITED: &str = "select extract(epoch from started_at - created_at) from deployments";

fn plain(id: &str) -> String {
    id.trim_start_matches("dpl_")
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect()
}

/// Breaks Postgres for a while and heals it.
async fn break_it(stage: &Stage, fault: Fault, outage: Duration, tally: &mut Tally) {
    let (Some(server), Some(proxy)) = (&stage.postgres, &stage.postgres_proxy) else {
        return;
    };
    match fault {
        Fault::Killed => {
            server.kill9().await;
            server.start_again().await;
        }
        Fault::Stopped => {
            server.stop().await;
            during(stage, outage, tally).await;
            server.start_again().await;
        }
        Fault::Silent => {
            proxy.set_line(Line::Silent);
            during(stage, outage, tally).await;
            // What was waiting on the line never arrives.
            proxy.cut();
            proxy.set_line(Line::Up);
        }
        Fault::Cut => {
            for _ in 0..25 {
                proxy.cut();
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        Fault::Unnotified => {
            proxy.swallow_notifications(true);
            tokio::time::sleep(Duration::from_secs(8)).await;
            proxy.swallow_notifications(false);
        }
    }
}

/// Asks the API all through an outage: it must say quickly that it cannot answer.
async fn during(stage: &Stage, outage: Duration, tally: &mut Tally) {
    let end = Instant::now() + outage;
    while Instant::now() < end {
        let start = Instant::now();
        let _ = stage
            .engine
            .api()
            .attempt(Method::GET, "/api/v1/apps", None, Duration::from_secs(30))
            .await;
        tally.measure("answer of the API while Postgres is away", start.elapsed(), Some(5.0));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// How long until the engine says that it is ready.
async fn until_ready(stage: &Stage) -> Duration {
    let start = Instant::now();
    while !stage.engine.api().is_ready().await && start.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    start.elapsed()
}
