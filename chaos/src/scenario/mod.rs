//! The scenarios: each sets up a stage, injects one class of faults on a schedule, and tallies what it found.

pub mod bad_apps;
pub mod deliveries;
pub mod disk;
pub mod dockerd;
pub mod failing;
pub mod kill;
pub mod postgres;
pub mod reboot;
pub mod restored;
pub mod stopped;
pub mod under_load;

use std::{
    path::PathBuf,
    pin::Pin,
    time::{Duration, Instant},
};

use crate::{check::Violation, load::Visits, report::Tally, seed::Chance, shard::Shard, stage::Setup};

/// How a run was asked for.
#[derive(Debug, Clone)]
pub struct Run {
    /// Decides every schedule.
    pub seed: u64,
    /// How many random trials a scenario makes.
    pub rounds: u64,
    /// How long a scenario may begin new trials.
    pub per_scenario: Duration,
    /// What visitors do.
    pub visits: Visits,
    /// How many deployments come in a row under load.
    pub deploys: u32,
    /// How long outages last.
    pub outage: Duration,
    /// At most so many of the enumerated crash points are tried, chosen by the seed; none: all.
    pub points: Option<usize>,
    /// The share of the trials that is this process'.
    pub shard: Shard,
    /// So many kinds of operations are enumerated, the most telling ones first.
    pub kinds: usize,
    /// Where histories are written.
    pub folder: PathBuf,
}

impl Run {
    /// Chance for a trial.
    pub fn chance(&self, scenario: &str, trial: u64) -> Chance {
        Chance::for_trial(self.seed, scenario, trial)
    }

    /// A setup whose history is kept.
    pub fn setup(&self, scenario: &str) -> Setup {
        let _ = std::fs::create_dir_all(&self.folder);
        Setup {
            history: Some(
                self.folder
                    .join(format!("{scenario}-{}{}.jsonl", self.seed, self.shard.suffix())),
            ),
            ..Setup::default()
        }
    }

    /// The numbers of this process' rounds, of so many in all.
    pub fn rounds_of(&self, rounds: u64) -> impl Iterator<Item = u64> + use<> {
        let shard = self.shard;
        (0..rounds).filter(move |round| shard.takes_round(*round))
    }

    /// A clock for one scenario.
    pub fn clock(&self) -> Clock {
        Clock {
            ends: Instant::now() + self.per_scenario,
        }
    }
}

/// Says whether there is time for another trial.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    ends: Instant,
}

impl Clock {
    /// Whether another trial may begin.
    pub fn goes_on(&self) -> bool {
        Instant::now() < self.ends
    }
}

/// Tells how far a scenario is.
pub fn tell(tally: &Tally, what: &str) {
    eprintln!("# {}: {what}", tally.name);
}

type Play = for<'a> fn(&'a Run) -> Pin<Box<dyn Future<Output = Tally> + Send + 'a>>;

/// All scenarios, in the order in which they find most faults soonest.
pub const ALL: [(&str, Play); 19] = [
    ("kill-boundaries", |run| Box::pin(kill::boundaries(run))),
    ("kill-random", |run| Box::pin(kill::random(run))),
    ("docker-fails", |run| Box::pin(failing::docker(run))),
    ("commit-fails", |run| Box::pin(failing::commits(run))),
    ("deliveries", |run| Box::pin(deliveries::play(run))),
    ("stopped", |run| Box::pin(stopped::play(run))),
    ("postgres-embedded", |run| Box::pin(postgres::embedded(run))),
    ("postgres-outer", |run| Box::pin(postgres::outer(run))),
    ("dockerd-killed", |run| Box::pin(dockerd::without_live_restore(run))),
    ("dockerd-live-restore", |run| Box::pin(dockerd::with_live_restore(run))),
    ("reboot", |run| Box::pin(reboot::play(run))),
    ("restored", |run| Box::pin(restored::play(run))),
    ("deploys", |run| Box::pin(under_load::deploys(run))),
    ("traefik", |run| Box::pin(under_load::deploys_behind_traefik(run))),
    ("replaced", |run| Box::pin(under_load::replaced(run))),
    ("router-killed", |run| Box::pin(under_load::router_killed(run))),
    ("restarts", |run| Box::pin(under_load::restarts(run))),
    ("bad-apps", |run| Box::pin(bad_apps::play(run))),
    ("disk", |run| Box::pin(disk::full(run))),
];

/// Plays the scenarios whose names hold one of these words, or all. One that breaks off is a violation of its own, and the next one goes
/// on.
pub async fn play(run: &Run, words: &[String]) -> Vec<Tally> {
    let mut tallies = Vec::new();
    for (name, play) in ALL {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let own = run.clone();
        // Ends with this future, so that a run that is interrupted clears away what it made.
        let mut playing = tokio::task::JoinSet::new();
        playing.spawn(async move { play(&own).await });
        let Some(played) = playing.join_next().await else {
            continue;
        };
        let mut tally = played.unwrap_or_else(|error| {
            let mut broken = Tally::new(name);
            broken.broke("the whole", [Violation::new("broken off", error.to_string())]);
            broken
        });
        if !tally.violations.is_empty() {
            tally.notes.push(format!(
                "again: scripts/chaos --scenario {name} --seed {seed}{shard}; when it is mended, keep it: add the line `{name} {seed}  what it was` \
                 to chaos/seeds.txt",
                seed = run.seed,
                shard = run.shard.option()
            ));
        }
        tallies.push(tally);
    }
    tallies
}
