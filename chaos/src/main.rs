//! `chaos`: runs the scenarios and prints one table. Ends with 1 when an invariant was broken, a bound missed, or nothing tried.

use std::{
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use windlass_chaos::{
    args::Args,
    report::{Tally, table},
    scenario,
};

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
    if let Some(word) = scenario::unmatched(&args.scenario) {
        eprintln!("no scenario's name holds `{word}`; `--list` names them all");
        return ExitCode::FAILURE;
    }
    eprintln!("# seed {seed}; repeat with --seed {seed}");
    let run = args.run(seed);
    let tallies = scenario::play(&run, &args.scenario).await;
    println!("{}\nseed {seed}", table(&tallies));
    if tallies.iter().all(Tally::holds) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
