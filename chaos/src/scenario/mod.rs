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
mod schedule;
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
    /// Only this one of them; none: all.
    pub round: Option<u64>,
    /// How long a scenario may begin new trials.
    pub per_scenario: Duration,
    /// What visitors do.
    pub visits: Visits,
    /// How many deployments come in a row under load.
    pub deploys: u32,
    /// How long outages last.
    pub outage: Duration,
    /// So many of the enumerated crash points are reached at most, chosen by the seed; none: all.
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
        let (shard, only) = (self.shard, self.round);
        let numbers = only.map_or(0..rounds, |round| round..round + 1);
        numbers.filter(move |round| shard.takes_round(*round))
    }

    /// The options that ask for the same run again, without the scenario.
    pub fn options(&self) -> String {
        let optional =
            |name: &str, value: Option<String>| value.map_or(String::new(), |value| format!(" --{name} {value}"));
        format!(
            "--seed {} --rounds {} --minutes {} --rate {} --deploys {} --outage {}{}{}{}",
            self.seed,
            self.rounds,
            self.per_scenario.as_secs() / 60,
            self.visits.rate,
            self.deploys,
            self.outage.as_secs(),
            optional("round", self.round.map(|round| round.to_string())),
            optional("points", self.points.map(|points| points.to_string())),
            self.shard.option()
        )
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

/// The first of these words that is in no scenario's name.
pub fn unmatched(words: &[String]) -> Option<&String> {
    words
        .iter()
        .find(|word| !ALL.iter().any(|(name, _)| name.contains(word.as_str())))
}

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
        if is_empty(&tally, run) {
            let what = Violation::new("nothing tried", "a scenario without a trial proves nothing");
            tally.broke("the whole", [what]);
        }
        if !tally.holds() {
            let options = run.options();
            let kept = options.trim_start_matches("--seed ");
            tally.notes.push(format!(
                "again: scripts/chaos --scenario {name} {options}; one round of it: --round N; when it is mended, keep it: add the line \
                 `{name} {kept} # what it was` to chaos/seeds.txt"
            ));
        }
        tallies.push(tally);
    }
    tallies
}

/// Whether nothing was tried, though all of it was this process' to try.
fn is_empty(tally: &Tally, run: &Run) -> bool {
    tally.trials == 0 && tally.violations.is_empty() && run.shard == Shard::default()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Args;

    fn run(options: &[&str]) -> Run {
        Args::parse_from([&["chaos"], options].concat()).run(7)
    }

    #[test]
    fn a_word_that_names_no_scenario_is_told() {
        let words = ["kill", "dikk"].map(str::to_owned);
        assert_eq!(unmatched(&words), Some(&words[1]));
        assert_eq!(unmatched(&words[..1]), None);
        assert_eq!(unmatched(&[]), None);
    }

    #[test]
    fn a_scenario_without_a_trial_is_no_proof_unless_other_shares_have_them() {
        let mut tally = Tally::new("disk");
        assert!(is_empty(&tally, &run(&[])) && !is_empty(&tally, &run(&["--shard", "1/2"])));
        tally.tried("1", false);
        assert!(is_empty(&tally, &run(&[])), "what was not reached proves nothing");
        tally.tried("2", true);
        assert!(!is_empty(&tally, &run(&[])));
    }

    #[test]
    fn a_late_round_can_come_alone() {
        assert_eq!(run(&["--round", "150"]).rounds_of(30).collect::<Vec<_>>(), [150]);
        assert_eq!(run(&[]).rounds_of(3).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
