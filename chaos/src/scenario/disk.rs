//! Docker's disk full, and empty again.

use std::time::Duration;

use super::{
    Run,
    dockerd::{all_serve, stage_on},
    kill::{Moment, finish, next, recover},
    tell,
};
use crate::{
    check::{Expected, Violation},
    history::{Ask, Outcome},
    loop_disk::LoopDisk,
    private_docker::PrivateDocker,
    report::Tally,
    stage::{PATIENCE, Stage},
};

const SIZE_MB: u64 = 1500;
/// How much is left when a build has to be refused.
const LOW_MB: u64 = 60;

/// Fills the disk of a private Docker, deploys, kills dockerd, and frees the disk.
pub async fn full(run: &Run) -> Tally {
    let mut tally = Tally::new("disk full and back");
    let disk = match LoopDisk::mount(SIZE_MB) {
        Ok(disk) => disk,
        Err(error) => {
            tally.notes.push(format!("not tried: {error:#}"));
            return tally;
        }
    };
    let started = PrivateDocker::start_on(true, Some(disk.path())).await;
    let mut docker = started.expect("a private dockerd can be started");
    let mut stage = stage_on(run, &docker, "disk").await;
    stage.settle(&stage.expected(), PATIENCE).await;
    stage.leave_alone(1).await;
    stage.open(run.visits, run.seed);
    for (name, left, kill) in [
        ("low", LOW_MB, false),
        ("full", 0, false),
        ("full, dockerd killed", 0, true),
    ] {
        disk.fill_but(left).expect("the disk can be filled");
        deploy_on_full(&stage, &mut tally, name).await;
        if kill {
            docker.kill9();
            let came_up = docker.start_again().await.is_ok();
            tally.notes.push(format!("dockerd starts on a full disk: {came_up}"));
        }
        disk.free();
        if docker.pid() == 0 || kill {
            docker.start_again().await.expect("dockerd starts when there is room");
            all_serve(&stage, &mut tally, name).await;
        }
        let freed = Moment::now();
        let ask = next(&stage, "deploy").await;
        let outcome = stage.sites[0].ask(ask).await;
        if !matches!(outcome, Outcome::Acknowledged { .. }) {
            tally.broke(
                name,
                [Violation::new("I13", format!("after the disk was freed: {outcome:?}"))],
            );
        }
        recover(&mut stage, &mut tally, name, freed).await;
    }
    let traffic = stage.close().await;
    tally.visited(&traffic, true);
    finish(stage, &mut tally).await;
    drop(docker);
    drop(disk);
    tally
}

/// A deployment on a full disk ends, says that it is the disk, and leaves what serves alone.
async fn deploy_on_full(stage: &Stage, tally: &mut Tally, name: &str) {
    let Ask::Deploy { commit } = next(stage, "deploy").await else {
        return;
    };
    let app = &stage.sites[0].app;
    // Not in the history: that it fails is right.
    let taken = stage
        .engine
        .api()
        .post(&app.path("/deployments"), serde_json::json!({ "commit": commit }))
        .await;
    tell(tally, &format!("{name}: a deployment was answered by {}", taken.status));
    let expected = Expected {
        all_succeed: false,
        ..stage.expected()
    };
    let settled = stage.settle(&expected, Duration::from_secs(240)).await;
    let last = app.last_deployment().await;
    tally.notes.push(format!(
        "{name}: the deployment {}: {}",
        last["status"].as_str().unwrap_or("?"),
        last["failure"]["reason"].as_str().unwrap_or("no reason")
    ));
    tally.broke(name, settled.violations);
}
