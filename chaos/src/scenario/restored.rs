//! An older database is restored: it is dumped, the world goes on, the engine ends, the dump takes the database's place, and the engine
//! starts. The machine becomes what the rows say, and what was acknowledged after the dump is gone, all of it.
//!
//! The router on its disk has a table with a higher number than the rows know; Docker has containers that no row knows; the repositories
//! have newer commits; and what was destroyed after the dump is in the rows again, with nothing behind it.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    Run,
    kill::{finish, next, prepare},
    tell,
};
use crate::{
    check::{Expected, Violation},
    history::{Ask, Operation, Outcome},
    report::Tally,
    site::Manner,
    stage::{PATIENCE, SWEEP, Stage},
    world::{Router, gap_probe},
};

const NAME: &str = "an older database restored";

/// What goes on between the dump and its restoration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    /// Deployments, a scale, a config change, a new app, and an app destroyed.
    Much,
    /// A deployment that was under way when the dump was made, and a config change.
    UnderWay,
    /// A single scale: the router's table is the very next one.
    OneTable,
}

const BETWEEN: [Between; 3] = [Between::Much, Between::OneTable, Between::UnderWay];

/// Restores a dump again and again.
pub async fn play(run: &Run) -> Tally {
    let mut tally = Tally::new(NAME);
    let mut stage = prepare(run, &mut tally, "restored", &[]).await;
    let clock = run.clock();
    for round in run.rounds_of(run.rounds.div_ceil(2)) {
        if !clock.goes_on() {
            break;
        }
        trial(&mut stage, &mut tally, run, round).await;
    }
    let traffic = stage.close().await;
    tally.visited(&traffic, false);
    let alone = stage.sites[1].app.name();
    let missed = traffic.misses.iter().filter(|miss| miss.app == alone).count();
    if missed > 0 {
        let what = format!("{missed} requests of an app failed that is the same in the dump and after it");
        tally.broke("visitors", [Violation::new("visitors", what)]);
    }
    finish(stage, &mut tally).await;
    tally
}

async fn trial(stage: &mut Stage, tally: &mut Tally, run: &Run, round: u64) {
    let mut chance = run.chance("restored", round);
    let between = BETWEEN[usize::try_from(round).unwrap_or_default() % BETWEEN.len()];
    let killed = chance.percent(50);
    let name = format!(
        "{round}: {between:?}, engine {}",
        if killed { "killed" } else { "stopped" }
    );
    tell(tally, &name);
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let file = folder.path().join("dump.sql");
    let brief = stage.add(&format!("brief{round}")).await;
    stage.settle(tally, &name, &stage.expected(), PATIENCE).await;
    let apps = stage.sites.len();
    let then = match between {
        Between::UnderWay => under_way(stage, &file, chance.below(1500)).await,
        Between::Much | Between::OneTable => dump(stage, &file).await,
    };
    let hollow = meanwhile(stage, (tally, &name), between, (round, brief)).await;
    stage.forget_from(apps).await;
    if killed {
        stage.engine.kill9();
    } else {
        stage.engine.stop().await;
    }
    let ahead = restore(stage, &file).await;
    tally
        .notes
        .push(format!("{name}: the router's table was {ahead} ahead of the rows"));
    stage.history.set_back(&then);
    let ready = stage.engine.restart().await;
    tally.measure("engine restart until ready", ready, None);
    judge(stage, tally, &name, hollow).await;
    stage.sites.remove(brief).ask(Ask::Destroy).await;
    stage.settle(tally, &name, &stage.expected(), PATIENCE).await;
    tally.tried(&name, true);
}

/// Dumps the database; gives what was known then.
async fn dump(stage: &Stage, file: &std::path::Path) -> Vec<Operation> {
    let then = stage.history.all();
    stage
        .postgres
        .as_ref()
        .expect("this stage has an outer Postgres")
        .dump(file)
        .await;
    then
}

/// Dumps while a deployment is under way.
async fn under_way(stage: &Stage, file: &std::path::Path, after: u64) -> Vec<Operation> {
    let ask = next(stage, "deploy").await;
    let (_, then) = tokio::join!(stage.sites[0].ask(ask), async {
        tokio::time::sleep(Duration::from_millis(after)).await;
        dump(stage, file).await
    });
    then
}

/// The world goes on; gives the apps that were destroyed.
async fn meanwhile(
    stage: &mut Stage,
    (tally, name): (&mut Tally, &str),
    between: Between,
    (round, brief): (u64, usize),
) -> BTreeSet<String> {
    match between {
        Between::OneTable => goes_on(stage, tally, name, "scale").await,
        Between::UnderWay => {
            stage.settle(tally, name, &stage.expected(), PATIENCE).await;
            goes_on(stage, tally, name, "config").await;
        }
        Between::Much => {
            for kind in ["deploy", "scale", "config", "restart", "push"] {
                goes_on(stage, tally, name, kind).await;
            }
            stage.add(&format!("later{round}")).await;
            stage.sites[brief].ask(Ask::Destroy).await;
            stage.settle(tally, name, &stage.expected(), PATIENCE).await;
            return BTreeSet::from([stage.sites[brief].app.name().to_owned()]);
        }
    }
    BTreeSet::new()
}

/// One more operation, and all that comes of it.
async fn goes_on(stage: &Stage, tally: &mut Tally, name: &str, kind: &str) {
    let ask = next(stage, kind).await;
    stage.sites[0].ask(ask).await;
    stage.settle(tally, name, &stage.expected(), PATIENCE).await;
}

/// Puts the dump in the database's place; gives by how much the router's number is ahead.
async fn restore(stage: &Stage, file: &std::path::Path) -> i64 {
    let router = Router::ask(stage.engine.data_dir()).await.unwrap_or_default();
    stage
        .postgres
        .as_ref()
        .expect("this stage has an outer Postgres")
        .restore(file)
        .await;
    let sql = "select last_value from route_generation";
    let known: i64 = stage.engine.ask_database(sql).await.parse().unwrap_or_default();
    i64::try_from(router.generation).unwrap_or_default() - known
}

/// Everything becomes what the rows say; an app of which nothing is left works again once it is pushed.
async fn judge(stage: &Stage, tally: &mut Tally, name: &str, hollow: BTreeSet<String>) {
    let begun = Instant::now();
    for site in stage.sites.iter().filter(|site| !hollow.contains(site.app.name())) {
        if let Err(error) = gap_probe(&stage.engine.router(), &site.app.host(), PATIENCE).await {
            tally.broke(name, [Violation::new("I4", format!("{error:#}"))]);
        }
    }
    tally.measure(
        "every app of the dump serves after the engine is ready",
        begun.elapsed(),
        None,
    );
    let expected = Expected {
        hollow: hollow.clone(),
        ..stage.expected()
    };
    let settled = stage.settle(tally, name, &expected, SWEEP).await;
    tally.measure("all is as in the dump after the engine is ready", begun.elapsed(), None);
    tell(tally, &format!("{name}: {} violations", settled.violations.len()));
    for site in stage.sites.iter().filter(|site| hollow.contains(site.app.name())) {
        let commit = site.commit(Manner::default()).await;
        let outcome = site.ask(Ask::Push { commit }).await;
        if !matches!(outcome, Outcome::Acknowledged { .. }) {
            let what = format!("{} was pushed anew: {outcome:?}", site.app.name());
            tally.broke(name, [Violation::new("I13", what)]);
        }
    }
    stage.settle(tally, name, &stage.expected(), SWEEP).await;
}
