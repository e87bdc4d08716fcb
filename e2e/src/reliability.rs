//! What faults and everyday changes cost: the scenarios of the proof, played shortly, as rows of the table.

use std::time::Duration;

use windlass_chaos::{
    load::Visits,
    report::Tally,
    scenario::{Run, kill, under_load},
};

use crate::table::Row;

/// Deployments in a row under load; `make chaos` makes more.
const DEPLOYS: u32 = 20;
const RATE: u32 = 200;
/// Kills for each round of the benchmark.
const KILLS: u64 = 3;

/// Lost requests and route changes in a row of deployments, takeover, restart.
///
/// # Panics
/// When an invariant is broken: then there is nothing to measure.
pub(crate) async fn measure(rounds: usize) -> Vec<Row> {
    let run = run(rounds);
    let deploys = sound(under_load::deploys(&run).await);
    // Not every kill comes while a deployment is under way.
    let often = Run {
        rounds: run.rounds * KILLS,
        ..run.clone()
    };
    let kills = sound(kill::random(&often).await);
    let restarts = sound(under_load::restarts(&run).await);
    let requests = values(&deploys, "requests").into_iter().sum::<f64>();
    vec![
        row(
            format!("requests lost of {requests:.0}, {DEPLOYS} deploys at {RATE}/s"),
            values(&deploys, "failed requests"),
            0.0,
        ),
        row(
            "first routed answer after healthy, ms",
            values(&deploys, "routed after healthy, ms"),
            50.0,
        ),
        row(
            "takeover of a killed worker's deployment, worst, ms",
            worst(&milliseconds(&kills, "takeover of a dead worker's deployment, s")),
            10_000.0,
        ),
        row(
            "killed engine back at /readyz, 50 apps, ms",
            milliseconds(&restarts, "engine restart until /readyz, 50 apps, s"),
            1000.0,
        ),
    ]
}

fn run(rounds: usize) -> Run {
    Run {
        seed: 1,
        rounds: rounds as u64,
        round: None,
        per_scenario: Duration::from_secs(600),
        visits: Visits {
            rate: RATE,
            ..Visits::default()
        },
        deploys: DEPLOYS,
        outage: Duration::from_secs(5),
        points: None,
        kinds: usize::MAX,
        shard: windlass_chaos::shard::Shard::default(),
        folder: std::env::temp_dir().join("windlass-bench"),
    }
}

/// A lost request is a figure here; anything else that is broken makes figures worthless.
fn sound(tally: Tally) -> Tally {
    let broken: Vec<_> = tally
        .violations
        .iter()
        .filter(|(_, violation)| violation.invariant != "visitors")
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
    tally
}

fn values(tally: &Tally, what: &str) -> Vec<f64> {
    tally
        .measures
        .get(what)
        .map(|measure| measure.values.clone())
        .unwrap_or_default()
}

fn milliseconds(tally: &Tally, what: &str) -> Vec<f64> {
    values(tally, what)
        .into_iter()
        .map(|seconds| seconds * 1000.0)
        .collect()
}

fn worst(values: &[f64]) -> Vec<f64> {
    values.iter().copied().reduce(f64::max).into_iter().collect()
}

fn row(what: impl Into<String>, values: Vec<f64>, target: f64) -> Row {
    Row {
        what: what.into(),
        values,
        floor: Vec::new(),
        target,
    }
}
