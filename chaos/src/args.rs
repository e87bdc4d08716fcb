//! What a run may be told.

use std::{path::PathBuf, time::Duration};

use clap::Parser;

use crate::{load::Visits, scenario::Run, shard::Shard};

/// Proves that Windlass keeps its promises when what is beneath it fails.
#[derive(Debug, Clone, Parser)]
// What is given twice is what was given last: options of a kept seed come after those of all of them.
#[command(name = "chaos", args_override_self = true)]
pub struct Args {
    /// Decides every schedule; the same seed gives the same one. None: by the clock.
    #[arg(long, env = "SEED")]
    pub seed: Option<u64>,
    /// Random trials in each scenario.
    #[arg(long, env = "ROUNDS", default_value_t = 30)]
    pub rounds: u64,
    /// Only this one of the random trials, whatever `--rounds` says.
    #[arg(long)]
    pub round: Option<u64>,
    /// How long each scenario may begin new trials, in minutes.
    #[arg(long, env = "MINUTES", default_value_t = 1)]
    pub minutes: u64,
    /// Only scenarios whose name holds this word; may be given more than once.
    #[arg(long, env = "SCENARIO", value_delimiter = ',')]
    pub scenario: Vec<String>,
    /// Requests a second over all apps.
    #[arg(long, default_value_t = 200)]
    pub rate: u32,
    /// Deployments in a row under load.
    #[arg(long, default_value_t = 10)]
    pub deploys: u32,
    /// How long an outage of Postgres lasts, in seconds.
    #[arg(long, default_value_t = 10)]
    pub outage: u64,
    /// So many crash points of a scenario are reached at most, chosen by the seed; all by default.
    #[arg(long)]
    pub points: Option<usize>,
    /// Only the K-th of N shares of the trials, as K/N; several processes with a share each may run at once.
    #[arg(long, env = "SHARD", default_value_t)]
    pub shard: Shard,
    /// Where histories are written.
    #[arg(long, default_value = "/tmp/windlass-chaos")]
    pub folder: PathBuf,
    /// Names the scenarios and ends.
    #[arg(long)]
    pub list: bool,
}

impl Args {
    /// A run with this seed.
    pub fn run(&self, seed: u64) -> Run {
        Run {
            seed,
            rounds: self.rounds,
            round: self.round,
            per_scenario: Duration::from_secs(self.minutes * 60),
            visits: Visits {
                rate: self.rate,
                ..Visits::default()
            },
            deploys: self.deploys,
            outage: Duration::from_secs(self.outage),
            points: self.points,
            shard: self.shard,
            kinds: usize::MAX,
            folder: self.folder.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_a_run_give_the_same_run_again() {
        let asked = "chaos --rounds 6 --points 12 --minutes 2 --rounds 40 --round 31 --outage 60 --rate 60 --shard 2/3";
        let run = Args::parse_from(asked.split(' ')).run(7);
        assert_eq!((run.rounds, run.round), (40, Some(31)), "the last one counts");
        let options = run.options();
        let again = Args::parse_from(format!("chaos {options}").split_whitespace());
        assert_eq!(again.seed, Some(7));
        assert_eq!(again.run(7).options(), options);
    }

    #[test]
    fn scenarios_are_added_up() {
        let args = Args::parse_from(["chaos", "--scenario", "disk", "--scenario", "reboot"]);
        assert_eq!(args.scenario, ["disk", "reboot"]);
    }
}
