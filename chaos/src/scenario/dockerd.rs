//! dockerd killed with SIGKILL before and after each call of a deployment, and restarted in order, without and with live-restore.

use std::time::{Duration, Instant};

use serde_json::json;
use windlass_testkit::{
    docker::{BUSYBOX, ensure_busybox, ensure_program_image},
    files, program,
};

use super::{
    Run,
    kill::{Moment, enumerate, finish, heal, next},
    schedule::{both_sides, scheduled},
    tell,
};
use crate::{
    check::Violation,
    history::Ask,
    point::{Action, Point, Side, Trap},
    private_docker::PrivateDocker,
    report::Tally,
    site::{Manner, Site},
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
    // A single error answer that is held against a release while Docker is away would roll it back.
    let settings = json!({ "drain_seconds": 1, "watch": { "min_requests": 1, "error_percent": 1 } });
    for name in ["worked", "alone"] {
        stage.add_with(name, settings.clone()).await;
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
    stage
        .settle(&mut tally, "the beginning", &stage.expected(), PATIENCE)
        .await;
    if live_restore {
        stage.leave_alone(1).await;
    }
    let mut points = enumerate(&mut stage, &mut tally, "deploy").await;
    points.retain(|point| point.what.starts_with("docker:"));
    let trials: Vec<_> = both_sides("deploy", points).collect();
    let all = trials.len();
    stage.open(run.visits, run.seed);
    let clock = run.clock();
    for (_, point, side) in scheduled(run, name, trials) {
        if tally.trials >= run.rounds || !clock.goes_on() {
            break;
        }
        trial(&mut stage, &mut docker, &mut tally, (point, side)).await;
    }
    let tried = tally.trials;
    for meanwhile in [
        Meanwhile::Nothing,
        Meanwhile::AReleaseStarts,
        Meanwhile::TheEngineRestarts,
    ] {
        restarted(&mut stage, &mut docker, &mut tally, meanwhile).await;
    }
    if !live_restore {
        release_command_runs_again(&stage, &mut docker, &mut tally).await;
        cancelled_without_docker(&mut stage, &mut docker, &mut tally).await;
    }
    held_against_nobody(&stage, &mut tally).await;
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

/// How long the engine is there before Docker is.
const AHEAD: Duration = Duration::from_secs(2);

/// What goes on while Docker is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    /// Nothing.
    Nothing,
    /// A deployment waits for its new instance, which is not to blame for its end.
    AReleaseStarts,
    /// The engine is killed while Docker is away, and started again before Docker is: it has not seen what ended.
    TheEngineRestarts,
}

/// Somebody restarts Docker as its documentation says.
async fn restarted(stage: &mut Stage, docker: &mut PrivateDocker, tally: &mut Tally, meanwhile: Meanwhile) {
    let name = format!("dockerd restarted in order, meanwhile: {meanwhile:?}");
    if meanwhile == Meanwhile::AReleaseStarts {
        let commit = stage.sites[0].bring(Manner(&["--slow-start", "3"])).await;
        stage.sites[0].ask(Ask::Deploy { commit }).await;
        if !starts(stage).await {
            return tally.tried(&name, false);
        }
    }
    let fault = Moment::now();
    tokio::task::block_in_place(|| docker.end());
    if meanwhile == Meanwhile::TheEngineRestarts {
        stage.engine.kill9();
        // It is not ready before Docker is, and has to be there before.
        let later = async {
            tokio::time::sleep(AHEAD).await;
            start_again(docker, tally, &name).await;
        };
        tokio::join!(stage.engine.restart(), later);
    } else {
        start_again(docker, tally, &name).await;
    }
    all_serve(stage, tally, &name).await;
    heal(stage, tally, &name, fault).await;
    tally.tried(&name, true);
}

async fn start_again(docker: &mut PrivateDocker, tally: &mut Tally, name: &str) {
    if let Err(error) = docker.start_again().await {
        tally.broke(name, [Violation::new("dockerd", format!("{error:#}"))]);
    }
}

/// Docker is restarted in order while an app's release command runs: the command ended with Docker and not by itself, so it runs again,
/// and the deployment succeeds.
async fn release_command_runs_again(stage: &Stage, docker: &mut PrivateDocker, tally: &mut Tally) {
    let name = "dockerd restarted in order while a release command runs";
    ensure_busybox();
    docker.load(BUSYBOX).expect("the image can be loaded");
    let app = stage.engine.app("migrates").await;
    let procfile = "web: /app/serve\nrelease: echo begins; sleep 4; echo ends\n";
    let commit = app
        .repo
        .commit(&files::saying("migrated").with("Procfile", procfile))
        .await;
    let push = app.repo.push(app.git_url(), "+HEAD:refs/heads/main", &["no-deploy"]);
    push.await.must_succeed();
    let deployment = app.deploy(json!({ "commit": commit })).await;
    let told = async |word: &str| app.deployment_log(&deployment).await.matches(word).count();
    let asked = Instant::now();
    while told("       begins").await == 0 && asked.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if told("       begins").await == 0 {
        app.destroy().await;
        return tally.tried(name, false);
    }
    tokio::task::block_in_place(|| docker.end());
    start_again(docker, tally, name).await;
    let ended = app.ended(&deployment).await;
    let ran = (told("       begins").await, told("       ends").await);
    if ended["status"] != "succeeded" || ran != (2, 1) {
        let text = format!("it began and ended {ran:?} times; {}", ended["failure"]);
        tally.broke(name, [Violation::new("outcome", text)]);
    }
    app.destroy().await;
    tally.tried(name, true);
}

/// A cancellation is heard within this; the deployment may rest for five seconds before.
const HEARD_WITHIN: Duration = Duration::from_secs(20);

/// A deployment whose first question to Docker is never answered can be cancelled all the same, and ends before Docker is back.
async fn cancelled_without_docker(stage: &mut Stage, docker: &mut PrivateDocker, tally: &mut Tally) {
    let name = "a config change cancelled while dockerd is dead";
    let change = next(stage, "config").await;
    let site = &stage.sites[0];
    // One that only stands still is not known to be away: the deployment is begun, and asks it.
    docker.stand_still();
    let fault = Moment::now();
    site.ask(change).await;
    let is_under_way = status_other_than(site, &["pending"]).await == "running";
    docker.kill9();
    let deployment = site.app.last_deployment().await;
    let id = deployment["id"].as_str().unwrap_or_default().to_owned();
    site.ask(Ask::Cancel { deployment: id }).await;
    let ended = status_other_than(site, &["pending", "running"]).await;
    if ended != "cancelled" {
        let text = format!("it is {ended} while Docker is away");
        tally.broke(name, [Violation::new("outcome", text)]);
    }
    start_again(docker, tally, name).await;
    all_serve(stage, tally, name).await;
    heal(stage, tally, name, fault).await;
    tally.tried(name, is_under_way);
}

/// What the newest deployment of an app is when it is none of these any more, or at the latest after a while.
async fn status_other_than(site: &Site, these: &[&str]) -> String {
    let asked = Instant::now();
    loop {
        let deployment = site.app.last_deployment().await;
        let status = deployment["status"].as_str().unwrap_or_default();
        if !these.contains(&status) || asked.elapsed() > HEARD_WITHIN {
            return status.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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

/// What ended with Docker is a crash of no app, and what visitors were told meanwhile rolls no release back.
pub(super) async fn held_against_nobody(stage: &Stage, tally: &mut Tally) {
    let crashes = "select a.name || ': ' || coalesce(i.reason, '') from instances i join apps a on a.id = i.app_id where i.state = 'crashed'";
    let rolled_back = "select a.name || ': ' || d.message from deployments d join apps a on a.id = d.app_id where d.trigger = 'watch'";
    for (what, sql) in [("crashes", crashes), ("releases rolled back", rolled_back)] {
        let found = stage.engine.try_database(sql).await;
        if found.as_deref() != Ok("") {
            let text = format!("{what} of apps that did nothing wrong: {found:?}");
            tally.broke("the whole", [Violation::new("I4", text)]);
        }
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
