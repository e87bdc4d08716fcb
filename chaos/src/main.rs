//! `chaos`: runs the scenarios and prints one table. Ends with 1 when an invariant was broken.

use std::{
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use windlass_chaos::{args::Args, report::table, scenario};

#[tokio::main(worker_threads = 4)]
async fn main() -> ExitCode {
    // What is under way is dropped with the runtime, and clears away what it made.
    tokio::select! {
        code = prove() => code,
        () = interrupted() => ExitCode::from(130),
    }
}

async fn interrupted() {
    let mut term = signal(SignalKind::terminate()).expect("signals can be heard");
    let mut int = signal(SignalKind::interrupt()).expect("signals can be heard");
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

async fn prove() -> ExitCode {
    let args = Args::parse();
    let by_clock = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |at| at.as_secs());
    let seed = args.seed.unwrap_or(by_clock);
    if args.list {
        scenario::ALL.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    eprintln!("# seed {seed}; repeat with --seed {seed}");
    let run = args.run(seed);
    let tallies = scenario::play(&run, &args.scenario).await;
    println!("{}\nseed {seed}", table(&tallies));
    if tallies.iter().all(|tally| tally.violations.is_empty()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
