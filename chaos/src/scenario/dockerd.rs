//! dockerd killed with SIGKILL before and after each call of a deployment, and restarted in order, without and with live-restore.

use std::time::{Duration, Instant};

use windlass_testkit::{docker::ensure_program_image, program};

use super::{
    Run,
    kill::{Moment, enumerate, finish, heal, next},
    tell,
};
use crate::{
    check::Violation,
    history::Ask,
    point::{Action, Point, Side, Trap},
    private_docker::PrivateDocker,
    report::Tally,
    site::Manner,
    stage::{PATIENCE, Setup, Stage},
    world::{Rows, gap_probe},
};

/// Containers end with their daemon.
pub async fn without_live_restore(run: &Run) -> Tally {
    killed(run, "dockerd killed, no live-restore", false).await
}

/// Containers do not notice.
pub async fn with_live_restore(run: &Run) -> Tally {
    killed(run, "dockerd killed, live-restore", true).await
}

/// A stage on a Docker of its own.
pub(super) async fn stage_on(run: &Run, docker: &PrivateDocker, name: &str) -> Stage {
    stage_on_with(run.setup(name), docker).await
}

/// As [`stage_on`], with a setup.
pub(super) async fn stage_on_with(mut setup: Setup, docker: &PrivateDocker) -> Stage {
    let image = ensure_program_image(&program("chaos-app"));
    docker.load(&image).expect("the app's image can be loaded");
    setup.docker = Some(docker.url());
    setup.environment = vec![("WINDLASS_LEASE_SECONDS".to_owned(), "4".to_owned())];
    let mut stage = Stage::build(setup).await;
    for name in ["worked", "alone"] {
        stage.add(name).await;
    }
    stage.sites[0].deploy_next().await;
    stage
}

async fn killed(run: &Run, name: &str, live_restore: bool) -> Tally {
    let mut tally = Tally::new(name);
    let mut docker = PrivateDocker::start(live_restore)
        .await
        .expect("a private dockerd can be started");
    let mut stage = stage_on(run, &docker, &name.replace([' ', ','], "-")).await;
    stage.settle(&stage.expected(), PATIENCE).await;
    if live_restore {
        stage.leave_alone(1).await;
    }
    let mut trials: Vec<(Point, Side)> = enumerate(&mut stage, "deploy")
        .await
        .into_iter()
        .filter(|point| point.what.starts_with("docker:"))
        .flat_map(|point| Side::BOTH.map(|side| (point.clone(), side)))
        .collect();
    let all = trials.len();
    trials.retain(|(point, side)| run.shard.takes("deploy", point, *side));
    run.chance(name, 0).shuffle(&mut trials);
    trials.truncate(usize::try_from(run.rounds).unwrap_or(usize::MAX));
    stage.open(run.visits, run.seed);
    let clock = run.clock();
    for (point, side) in trials {
        if !clock.goes_on() {
            break;
        }
        trial(&mut stage, &mut docker, &mut tally, (point, side)).await;
    }
    let tried = tally.trials;
    for deploying in [false, true] {
        restarted(&mut stage, &mut docker, &mut tally, deploying).await;
    }
    for site in &stage.sites {
        no_crash(&stage, &mut tally, site.app.name()).await;
    }
    tally.notes.push(format!(
        "{tried} of {all} boundaries of Docker's calls in a deployment tried; restarted in order {} times",
        tally.trials - tried
    ));
    let traffic = stage.close().await;
    tally.visited(&traffic, live_restore);
    finish(stage, &mut tally).await;
    tally
}

async fn trial(stage: &mut Stage, docker: &mut PrivateDocker, tally: &mut Tally, (point, side): (Point, Side)) {
    let name = format!("dockerd killed {side:?} {point}");
    let ask = next(stage, "deploy").await;
    let trap = Trap {
        point,
        side,
        action: Action::Kill,
    };
    // The victim is Docker: the engine is the one that has to cope.
    stage.points.begin(docker.pid(), Some(trap));
    stage.sites[0].ask(ask).await;
    let sprung = stage.points.sprung(Duration::from_secs(15)).await;
    stage.points.end();
    docker.kill9();
    let fault = Moment::now();
    tokio::time::sleep(Duration::from_millis(500)).await;
    match docker.start_again().await {
        Ok(took) => tally.measure("dockerd back", took, None),
        Err(error) => tally.broke(&name, [Violation::new("dockerd", format!("{error:#}"))]),
    }
    all_serve(stage, tally, &name).await;
    tell(tally, &format!("{name}: sprung {}", sprung.is_some()));
    heal(stage, tally, &name, fault).await;
    tally.tried(&name, sprung.is_some());
}

/// Somebody restarts Docker as its documentation says: when nothing is under way, and while a deployment waits for its new instance,
/// which is not to blame for its end.
async fn restarted(stage: &mut Stage, docker: &mut PrivateDocker, tally: &mut Tally, deploying: bool) {
    let name = format!("dockerd restarted in order, a release starting: {deploying}");
    if deploying {
        let commit = stage.sites[0].bring(Manner(&["--slow-start", "3"])).await;
        stage.sites[0].ask(Ask::Deploy { commit }).await;
        if !starts(stage).await {
            return tally.tried(&name, false);
        }
    }
    let fault = Moment::now();
    tokio::task::block_in_place(|| docker.end());
    if let Err(error) = docker.start_again().await {
        tally.broke(&name, [Violation::new("dockerd", format!("{error:#}"))]);
    }
    all_serve(stage, tally, &name).await;
    heal(stage, tally, &name, fault).await;
    tally.tried(&name, true);
}

/// Waits until an instance has its container and is not healthy yet.
async fn starts(stage: &Stage) -> bool {
    let asked = Instant::now();
    while asked.elapsed() < PATIENCE {
        let rows = Rows::read(&stage.engine).await.unwrap_or_default();
        let mut starting = rows.instances.iter().filter(|row| row.state == "starting");
        if starting.any(|row| row.container.is_some()) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

/// What ended with Docker is not held against the app.
async fn no_crash(stage: &Stage, tally: &mut Tally, app: &str) {
    let sql = format!(
        "select i.reason from instances i join apps a on a.id = i.app_id where a.name = '{app}' and i.state = 'crashed'"
    );
    let crashed = stage.engine.try_database(&sql).await;
    if crashed.as_deref() != Ok("") {
        let text = format!("crashes of `{app}`, which never crashed: {crashed:?}");
        tally.broke("dockerd", [Violation::new("I4", text)]);
    }
}

/// Waits until every app serves, from the moment in which Docker's API is back.
pub(super) async fn all_serve(stage: &Stage, tally: &mut Tally, name: &str) {
    let back = Instant::now();
    for site in &stage.sites {
        if let Err(error) = gap_probe(&stage.engine.router(), &site.app.host(), PATIENCE).await {
            tally.broke(name, [Violation::new("I4", format!("{error:#}"))]);
        }
    }
    tally.measure("every app serves after Docker's API is back", back.elapsed(), Some(5.0));
}
