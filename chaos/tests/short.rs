//! A short part of the proof, for every run of the tests: few crash points, chosen by a fixed seed. `make chaos` goes through all.

use std::time::Duration;

use windlass_chaos::{
    load::Visits,
    report::{Tally, table},
    scenario::{Run, bad_apps, failing, kill, postgres, stopped, under_load},
    shard::Shard,
};

/// Few trials and few visitors: other tests run beside this.
fn short(rounds: u64) -> Run {
    Run {
        seed: 1,
        rounds,
        round: None,
        per_scenario: Duration::from_secs(45),
        visits: Visits {
            rate: 40,
            ..Visits::default()
        },
        deploys: 3,
        outage: Duration::from_secs(3),
        points: usize::try_from(rounds).ok(),
        shard: Shard::default(),
        kinds: 2,
        folder: std::env::temp_dir().join("windlass-chaos-short"),
    }
}

#[track_caller]
fn must_hold(tally: Tally) {
    // Bounds of time are for `make chaos`, which has the machine for itself.
    let holds = tally.violations.is_empty() && tally.trials > 0;
    assert!(holds, "{}", table(&[tally]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_engine_killed_around_a_commit_or_a_call_loses_nothing() {
    must_hold(kill::boundaries(&short(4)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_that_docker_did_and_reported_as_failed_does_no_harm() {
    must_hold(failing::docker(&short(2)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_that_was_stopped_writes_nothing_after_another_took_over() {
    must_hold(stopped::play(&short(1)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_postgres_comes_back_with_all_that_was_acknowledged() {
    must_hold(postgres::embedded(&short(3)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn deployments_under_load_lose_no_request() {
    must_hold(under_load::deploys(&short(2)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_router_serves_again_from_its_disk() {
    must_hold(under_load::router_killed(&short(3)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_first_bad_apps_harm_nobody() {
    must_hold(bad_apps::play(&short(2)).await);
}
