//! `kill -9` of the engine: at every enumerated boundary of every operation, and at random instants.

use std::{
    collections::BTreeMap,
    pin::pin,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::process::Signal;

use super::{
    Run,
    schedule::{both_sides, scheduled},
    tell,
};
use crate::{
    check::Violation,
    history::{Ask, Outcome},
    point::{Action, Point, Trap},
    report::Tally,
    site::{Manner, Site},
    stage::{PATIENCE, Stage},
    world::{Rows, World},
};

/// Background loops do the same again and again; from then on a repetition teaches nothing.
const REPETITIONS: u32 = 3;
/// How long a point that was seen once is waited for.
const REACH: Duration = Duration::from_secs(15);

/// The operations whose boundaries are enumerated.
const KINDS: [&str; 10] = [
    "deploy", "config", "rollback", "scale", "push", "crash", "cancel", "destroy", "create", "restart",
];
/// How long a deployment goes on before it is cancelled.
const UNTIL_CANCELLED: Duration = Duration::from_millis(600);

/// The app that is worked on; the other one is left alone.
const WORKED_ON: usize = 0;

/// At every boundary, before and after.
pub async fn boundaries(run: &Run) -> Tally {
    at_points(run, "kill at each boundary", Action::Kill, |_| true, &KINDS).await
}

/// At random instants.
pub async fn random(run: &Run) -> Tally {
    let mut tally = Tally::new("kill at random instants");
    let mut stage = prepare(run, &mut tally, "kill-random", &[]).await;
    let clock = run.clock();
    let mut met = 0;
    for round in run.rounds_of(run.rounds) {
        if !clock.goes_on() {
            break;
        }
        let mut chance = run.chance("kill-random", round);
        let kind = *chance.one_of(&KINDS);
        let after = Duration::from_millis(chance.below(2500));
        let name = format!("{round}: {kind}, killed after {} ms", after.as_millis());
        let (site, ask) = set_up(&mut stage, kind).await;
        let killed = ask_while(&stage, site, kind, ask, kill_after(&stage, after)).await;
        stage.engine.kill9();
        recover(&mut stage, &mut tally, &name, killed).await;
        met += u64::from(was_deploying(&stage, killed.epoch).await);
        afterwards(&stage, &mut tally, (kind, site), &name).await;
    }
    tally.count("kills that met a deployment under way", met);
    finish(stage, &mut tally).await;
    tally
}

/// Kills the engine at that very moment, whatever it has been asked and not answered yet.
async fn kill_after(stage: &Stage, after: Duration) -> Moment {
    tokio::time::sleep(after).await;
    stage.engine.signal(Signal::KILL);
    Moment::now()
}

/// Whether a deployment was open at that moment. Of an app that was destroyed since nobody knows.
async fn was_deploying(stage: &Stage, at: f64) -> bool {
    let rows = Rows::read(&stage.engine).await.unwrap_or_default();
    let was_open = |finished: Option<f64>| finished.is_none_or(|finished| finished > at);
    rows.deployments
        .iter()
        .any(|deployment| deployment.created < at && was_open(deployment.finished))
}

/// Leases are short where a takeover is waited for a hundred times; its time is measured with the default elsewhere.
const SHORT_LEASE: [(&str, &str); 1] = [("WINDLASS_LEASE_SECONDS", "2")];

/// An engine with one app that is worked on and one that is left alone, and visitors at both.
pub(super) async fn prepare(run: &Run, tally: &mut Tally, name: &str, environment: &[(&str, &str)]) -> Stage {
    let mut setup = run.setup(name);
    setup.environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    furnish(run, tally, Stage::build(setup).await).await
}

/// Adds the apps, and visitors.
pub(super) async fn furnish(run: &Run, tally: &mut Tally, mut stage: Stage) -> Stage {
    stage.add("worked").await;
    stage.sites[WORKED_ON].deploy_next().await;
    let alone = stage.add("alone").await;
    stage.leave_alone(alone).await;
    stage.settle(tally, "the beginning", &stage.expected(), PATIENCE).await;
    stage.open(run.visits, run.seed);
    stage
}

/// Enumerates the points of each kind of operation, and does `action` at each that `chosen` takes.
pub(super) async fn at_points(
    run: &Run,
    name: &str,
    action: Action,
    chosen: impl Fn(&Point) -> bool,
    kinds: &[&'static str],
) -> Tally {
    let mut tally = Tally::new(name);
    let mut stage = prepare(run, &mut tally, &name.replace(' ', "-"), &SHORT_LEASE).await;
    let mut trials = Vec::new();
    for kind in kinds.iter().take(run.kinds) {
        let points: Vec<Point> = enumerate(&mut stage, &mut tally, kind)
            .await
            .into_iter()
            .filter(|point| chosen(point))
            .collect();
        tell(&tally, &format!("{kind} has {} points", points.len()));
        let names: Vec<String> = points.iter().map(ToString::to_string).collect();
        let list = format!("points-of-{kind}{}.txt", run.shard.suffix());
        let _ = std::fs::write(run.folder.join(list), names.join("\n"));
        tally.notes.push(format!("{kind}: {} points", points.len()));
        trials.extend(both_sides(kind, points));
    }
    let all = trials.len();
    let trials = scheduled(run, name, trials);
    let share = trials.len();
    let most = run.points.map_or(u64::MAX, |points| points as u64);
    let clock = run.clock();
    let mut tried = 0;
    for (kind, point, side) in trials {
        if tally.trials >= most || !clock.goes_on() {
            break;
        }
        tried += 1;
        trial(&mut stage, &mut tally, kind, Trap { point, side, action }).await;
    }
    tally.notes.push(format!(
        "{all} boundaries (points x before and after), {share} of them in share {}, {tried} tried, {} reached",
        run.shard, tally.trials
    ));
    finish(stage, &mut tally).await;
    tally
}

/// What an undisturbed operation does, in order.
pub(super) async fn enumerate(stage: &mut Stage, tally: &mut Tally, kind: &str) -> Vec<Point> {
    let name = format!("{kind}: undisturbed");
    let (site, ask) = set_up(stage, kind).await;
    stage.count(None);
    act(stage, site, kind, ask).await;
    stage.settle(tally, &name, &stage.expected(), PATIENCE).await;
    let mut points = stage.points.end();
    afterwards(stage, tally, (kind, site), &name).await;
    points.retain(|point| point.occurrence <= REPETITIONS);
    points
}

/// One trial; it counts when the point was reached.
async fn trial(stage: &mut Stage, tally: &mut Tally, kind: &str, trap: Trap) {
    let name = format!("{kind}: {:?} {:?} {}", trap.action, trap.side, trap.point);
    let kills = trap.action == Action::Kill;
    let (site, ask) = set_up(stage, kind).await;
    stage.count(Some(trap));
    let sprung = {
        let waits = stage.points.sprung(REACH);
        ask_while(stage, site, kind, ask, waits).await
    };
    let moment = Moment::now();
    stage.points.end();
    if kills && sprung.is_some() {
        stage.engine.kill9();
    }
    heal(stage, tally, &name, moment).await;
    tally.tried(&name, sprung.is_some());
    afterwards(stage, tally, (kind, site), &name).await;
}

/// What a client does after a trial of some kinds: one that was creating an app tries again and goes on with it. Then the app goes.
async fn afterwards(stage: &Stage, tally: &mut Tally, (kind, site): (&str, usize), name: &str) {
    if kind != "create" {
        return;
    }
    let site = &stage.sites[site];
    let again = site.ask(Ask::Create).await;
    let known = matches!(again, Outcome::Acknowledged { .. } | Outcome::Refused { status: TAKEN });
    if !known {
        tally.broke(name, [Violation::new("I13", format!("created again: {again:?}"))]);
    }
    site.deploy_next().await;
    stage.settle(tally, name, &stage.expected(), PATIENCE).await;
    site.ask(Ask::Destroy).await;
    stage.settle(tally, name, &stage.expected(), PATIENCE).await;
}

/// The status that says that there is such an app already.
const TAKEN: u16 = 409;

/// Acts, and goes on when `until` is over; an answer that has not come by then is waited for no longer than it takes the engine to die.
async fn ask_while<T>(stage: &Stage, site: usize, kind: &str, ask: Ask, until: impl Future<Output = T>) -> T {
    let (mut acted, mut until) = (pin!(act(stage, site, kind, ask)), pin!(until));
    tokio::select! {
        done = &mut until => {
            // A broken connection is an answer too: it makes the outcome unknown.
            let _ = tokio::time::timeout(Duration::from_millis(200), &mut acted).await;
            done
        }
        () = &mut acted => until.await,
    }
}

/// An operation with all that belongs to its kind.
async fn act(stage: &Stage, site: usize, kind: &str, ask: Ask) {
    let site = &stage.sites[site];
    let outcome = site.ask(ask).await;
    if let ("create", Outcome::Acknowledged { .. }) = (kind, &outcome) {
        let commit = site.commit(Manner::default()).await;
        site.ask(Ask::Push { commit }).await;
    }
    let (
        "cancel",
        Outcome::Acknowledged {
            deployment: Some(deployment),
            ..
        },
    ) = (kind, outcome)
    else {
        return;
    };
    tokio::time::sleep(UNTIL_CANCELLED).await;
    site.ask(Ask::Cancel { deployment }).await;
}

/// The app that is worked on and the next operation of a kind; an app that is to be destroyed is made for it, and one that is to be
/// created is thought of.
async fn set_up(stage: &mut Stage, kind: &str) -> (usize, Ask) {
    let name = format!("brief{}", stage.history.all().len());
    match kind {
        "destroy" => (stage.add(&name).await, Ask::Destroy),
        "create" => {
            let site = Site::planned(&stage.engine, &stage.history, &name);
            stage.sites.push(site);
            (stage.sites.len() - 1, Ask::Create)
        }
        _ => (WORKED_ON, next(stage, kind).await),
    }
}

/// The next operation of a kind.
pub(super) async fn next(stage: &Stage, kind: &str) -> Ask {
    let site = &stage.sites[WORKED_ON];
    match kind {
        "deploy" | "cancel" => Ask::Deploy {
            commit: site.bring(Manner::default()).await,
        },
        "crash" => Ask::Deploy {
            commit: site.bring(Manner(&["--crash"])).await,
        },
        "push" => Ask::Push {
            commit: site.commit(Manner::default()).await,
        },
        "config" => Ask::Config {
            tint: format!("t{}", stage.history.all().len()),
        },
        "scale" => {
            let scaled = stage
                .history
                .all()
                .into_iter()
                .rev()
                .find_map(|operation| match operation.ask {
                    Ask::Scale { quantity } if operation.outcome != Outcome::Lost => Some(quantity),
                    _ => None,
                });
            Ask::Scale {
                quantity: if scaled == Some(2) { 1 } else { 2 },
            }
        }
        "restart" => Ask::Restart,
        _ => Ask::Rollback,
    }
}

/// When something was done, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    at: Instant,
    pub(super) epoch: f64,
}

impl Moment {
    pub(super) fn now() -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            at: Instant::now(),
            epoch: epoch.as_secs_f64(),
        }
    }
}

/// As [`heal`], and counts the trial.
pub(super) async fn recover(stage: &mut Stage, tally: &mut Tally, name: &str, fault: Moment) {
    heal(stage, tally, name, fault).await;
    tally.tried(name, true);
}

/// Starts a dead engine, waits until all is well, and tallies what was found.
pub(super) async fn heal(stage: &mut Stage, tally: &mut Tally, name: &str, fault: Moment) {
    let was_dead = stage.engine.has_ended();
    if was_dead {
        let ready = stage.engine.restart().await;
        tally.measure("engine restart until ready", ready, None);
    }
    let settled = stage.settle(tally, name, &stage.expected(), PATIENCE).await;
    tally.measure("fault until all is well", fault.at.elapsed(), None);
    if let Some(takeover) = takeover(&settled.world, fault.epoch).filter(|_| was_dead) {
        tally.figure("takeover of a dead worker's deployment, s", takeover, Some(10.0));
    }
    tell(
        tally,
        &format!(
            "{name}: {:.1} s, {} violations",
            fault.at.elapsed().as_secs_f64(),
            settled.violations.len()
        ),
    );
}

/// How long after the fault a deployment that was under way then was gone on with.
pub(super) fn takeover(world: &World, fault: f64) -> Option<f64> {
    let mut began: BTreeMap<(&str, i32), f64> = BTreeMap::new();
    for step in &world.rows.steps {
        let first = began.entry((&step.deployment, step.attempt)).or_insert(step.started);
        *first = first.min(step.started);
    }
    let resumed = began.iter().filter(|((_, attempt), at)| *attempt > 1 && **at > fault);
    resumed.map(|(_, at)| at - fault).reduce(f64::min)
}

/// The end of a scenario: a new app can be deployed, nothing is left over, and visitors were served.
pub(super) async fn finish(mut stage: Stage, tally: &mut Tally) {
    let name = format!("after{}", stage.sites.len());
    let traffic = stage.close().await;
    stage.add(&name).await;
    stage.settle_for_good(tally, "the end").await;
    if traffic.sent > 0 {
        tally.visited(&traffic, true);
    }
}
