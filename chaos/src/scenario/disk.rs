//! Docker's disk full, and empty again.

use std::time::Duration;

use serde_json::{Value, json};

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
    stage
        .settle(&mut tally, "the beginning", &stage.expected(), PATIENCE)
        .await;
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
    let (app, api) = (&stage.sites[0].app, stage.engine.api());
    // Not in the history: that it fails is right.
    let taken = api.post(&app.path("/deployments"), json!({ "commit": commit })).await;
    tell(tally, &format!("{name}: a deployment was answered by {}", taken.status));
    let expected = Expected {
        all_succeed: false,
        ..stage.expected()
    };
    stage.settle(tally, name, &expected, Duration::from_secs(240)).await;
    let ended = match taken.body["id"].as_str() {
        Some(id) => api.get(&app.path(&format!("/deployments/{id}"))).await.body,
        None => taken.body,
    };
    tally.notes.push(format!("{name}: the deployment {}", how(&ended)));
    if !says_that_it_is_the_disk(&ended) {
        let what = format!("a deployment on a full disk: {}", how(&ended));
        tally.broke(name, [Violation::new("outcome", what)]);
    }
}

fn how(ended: &Value) -> String {
    format!("{}: {}", ended["status"], ended["failure"]["reason"])
}

fn says_that_it_is_the_disk(ended: &Value) -> bool {
    let reason = ended["failure"]["reason"].as_str().unwrap_or_default();
    let of_the_disk = ["room", "space", "disk is full"]
        .iter()
        .any(|words| reason.contains(words));
    ended["status"] == "failed" && of_the_disk
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_has_to_fail_and_to_say_that_it_is_the_disk() {
        let ended = |status: &str, reason: &str| json!({ "status": status, "failure": { "reason": reason } });
        let reason = "there is too little room on the server for a build";
        assert!(says_that_it_is_the_disk(&ended("failed", reason)));
        for (status, reason) in [("failed", "the app crashed"), ("running", reason), ("succeeded", "")] {
            assert!(!says_that_it_is_the_disk(&ended(status, reason)), "{status}: {reason}");
        }
        assert!(!says_that_it_is_the_disk(&json!({ "title": "nothing was taken" })));
    }
}
