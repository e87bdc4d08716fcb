//! What a run may be told.

use std::{path::PathBuf, time::Duration};

use clap::Parser;

use crate::{load::Visits, scenario::Run, shard::Shard};

/// Proves that Windlass keeps its promises when what is beneath it fails.
#[derive(Debug, Clone, Parser)]
#[command(name = "chaos")]
pub struct Args {
    /// Decides every schedule; the same seed gives the same one. None: by the clock.
    #[arg(long, env = "SEED")]
    pub seed: Option<u64>,
    /// Random trials in each scenario.
    #[arg(long, env = "ROUNDS", default_value_t = 30)]
    pub rounds: u64,
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
    /// At most so many crash points of a scenario, chosen by the seed; all by default.
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
