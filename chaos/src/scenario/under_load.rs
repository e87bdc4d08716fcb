//! What happens every day, again and again under load: deployments, rollbacks, scaling, the router replaced or killed, the engine
//! restarted. No request may be lost by any of it but the kill of the router.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{
    Run,
    kill::{finish, furnish, next, prepare},
    tell,
};
use crate::{
    check::Violation,
    history::{Ask, Outcome},
    report::Tally,
    site::{Manner, Site},
    stage::{PATIENCE, Stage},
    world::{gap_probe, router_pid, until_heard},
};

/// Deployments, then rollbacks, then scaling.
pub async fn deploys(run: &Run) -> Tally {
    let mut tally = Tally::new("deploys in a row under load");
    let stage = prepare(run, &mut tally, "deploys", &[]).await;
    in_a_row(run, tally, stage).await
}

/// The same with a real Traefik as the router.
pub async fn deploys_behind_traefik(run: &Run) -> Tally {
    let mut tally = Tally::new("deploys in a row under load, Traefik");
    let mut setup = run.setup("deploys-traefik");
    setup.traefik = true;
    let stage = furnish(run, &mut tally, Stage::build(setup).await).await;
    in_a_row(run, tally, stage).await
}

async fn in_a_row(run: &Run, mut tally: Tally, stage: Stage) -> Tally {
    let clock = run.clock();
    for n in 0..run.deploys {
        if !clock.goes_on() {
            break;
        }
        let name = format!("deployment {n}");
        route_change(&stage, &mut tally).await;
        judge(&stage, &mut tally, &name).await;
    }
    for kind in ["rollback", "scale"] {
        for n in 0..run.deploys.div_ceil(5) {
            let name = format!("{kind} {n}");
            let ask = next(&stage, kind).await;
            let outcome = stage.sites[0].ask(ask).await;
            if !matches!(outcome, Outcome::Acknowledged { .. }) {
                tally.broke(&name, [Violation::new("I13", format!("not taken: {outcome:?}"))]);
            }
            judge(&stage, &mut tally, &name).await;
        }
    }
    finish(stage, &mut tally).await;
    tally
}

async fn judge(stage: &Stage, tally: &mut Tally, name: &str) {
    let settled = stage.settle(tally, name, &stage.expected(), PATIENCE).await;
    tally.trials += 1;
    let failed = stage.load().map_or(0, crate::load::Load::failed);
    let since = stage.load().map_or(Duration::ZERO, crate::load::Load::elapsed);
    tell(
        tally,
        &format!(
            "{name}: {:.1} s, over at {:.1} s, {failed} requests failed so far",
            settled.took.as_secs_f64(),
            since.as_secs_f64()
        ),
    );
}

/// Deploys, and measures how long after its first instance was healthy a release was first heard of through the router.
async fn route_change(stage: &Stage, tally: &mut Tally) {
    let site = &stage.sites[0];
    let commit = site.bring(Manner::default()).await;
    let says = site.versions().get(&commit).cloned().unwrap_or_default();
    let (router, host) = (stage.address(), site.app.host());
    let (outcome, heard) = tokio::join!(site.ask(Ask::Deploy { commit }), first_heard(&router, &host, &says));
    let Outcome::Acknowledged {
        deployment: Some(id), ..
    } = outcome
    else {
        return tally.broke("deployment", [Violation::new("I13", format!("not taken: {outcome:?}"))]);
    };
    site.app.ended(&json!({ "id": id })).await;
    let world = stage.look().await;
    let healthy = world.ok().and_then(|world| {
        let deployment = world.rows.deployment(&id)?.id.clone();
        let release = world
            .rows
            .releases
            .iter()
            .find(|release| release.deployment == deployment)?;
        let of_release = world
            .rows
            .instances
            .iter()
            .filter(|instance| instance.release == release.id);
        of_release.filter_map(|instance| instance.healthy).reduce(f64::min)
    });
    if let (Some(heard), Some(healthy)) = (heard, healthy) {
        // Traefik itself gathers changes for two seconds.
        let promised = if stage.traefik.is_some() { None } else { Some(50.0) };
        tally.figure("routed after healthy, ms", (heard - healthy) * 1000.0, promised);
    }
}

/// When a version first answered through the router, in seconds since 1970.
async fn first_heard(router: &str, host: &str, says: &str) -> Option<f64> {
    until_heard(router, host, says, PATIENCE).await.ok()?;
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .map(|at| at.as_secs_f64())
}

/// The router replaced in order again and again; then the engine restarted in order.
pub async fn replaced(run: &Run) -> Tally {
    let mut tally = Tally::new("router and engine replaced under load");
    let mut stage = prepare(run, &mut tally, "replaced", &[]).await;
    stage.leave_alone(0).await;
    let clock = run.clock();
    for n in 0..run.rounds.div_ceil(2) {
        if !clock.goes_on() {
            break;
        }
        let replaced = stage.engine.windlassd(&["router", "restart"]).await;
        if !replaced.ok {
            tally.broke("router", [Violation::new("router", replaced.text())]);
        }
        judge(&stage, &mut tally, &format!("router {n}")).await;
    }
    for n in 0..run.rounds.div_ceil(6) {
        if !clock.goes_on() {
            break;
        }
        // `restart` ends the engine in order before it starts it.
        stage.engine.restart().await;
        judge(&stage, &mut tally, &format!("engine {n}")).await;
    }
    finish(stage, &mut tally).await;
    tally
}

/// The router killed with SIGKILL: the engine starts another one, which serves from the table on its disk.
pub async fn router_killed(run: &Run) -> Tally {
    let mut tally = Tally::new("router killed under load");
    let mut stage = prepare(run, &mut tally, "router-killed", &[]).await;
    stage.leave_alone(0).await;
    let clock = run.clock();
    let host = stage.sites[0].app.host();
    for n in 0..run.rounds.div_ceil(3) {
        if !clock.goes_on() {
            break;
        }
        let name = format!("kill {n}");
        match router_pid(stage.engine.data_dir()).await {
            Ok(pid) => kill(pid),
            Err(error) => tally.broke(&name, [Violation::new("router", format!("{error:#}"))]),
        }
        match gap_probe(&stage.engine.router(), &host, PATIENCE).await {
            Ok(gap) => tally.measure("router serves again after kill -9", gap, Some(0.5)),
            Err(error) => tally.broke(&name, [Violation::new("router", format!("{error:#}"))]),
        }
        judge(&stage, &mut tally, &name).await;
    }
    let traffic = stage.close().await;
    tally.visited(&traffic, false);
    finish(stage, &mut tally).await;
    tally
}

fn kill(pid: u32) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Apps recorded when restarts are measured, and how many of them run.
const RECORDED: usize = 50;
const RUNNING: usize = 10;

/// The engine killed with many apps: how soon it is ready, and whether anybody's containers changed.
pub async fn restarts(run: &Run) -> Tally {
    let mut tally = Tally::new("engine killed with 50 apps");
    let mut stage = Stage::build(run.setup("restarts")).await;
    for n in 0..RUNNING {
        let site = stage.add(&format!("runs{n}")).await;
        stage.leave_alone(site).await;
    }
    for n in RUNNING..RECORDED {
        stage
            .sites
            .push(Site::create(&stage.engine, &stage.history, &format!("idle{n}"), json!({})).await);
    }
    tally
        .notes
        .push(format!("{RECORDED} apps recorded, {RUNNING} of them with an instance"));
    for n in 0..run.rounds.clamp(3, 10) {
        let ready = stage.restart().await;
        tally.measure("engine restart until /readyz, 50 apps", ready, Some(1.0));
        judge(&stage, &mut tally, &format!("kill {n}")).await;
    }
    finish(stage, &mut tally).await;
    tally
}
