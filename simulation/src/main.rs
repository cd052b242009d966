//! Runs many seeds: `cargo run --release -p simulation -- --seeds 100000`.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use simulation::{Summary, run};

/// Drives edges and key service through faults, and checks the promise.
#[derive(Debug, Parser)]
struct Args {
    /// How many seeds to run
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
}

#[expect(
    clippy::disallowed_methods,
    reason = "it reports how long the seeds took; no seed sees a real clock"
)]
fn main() -> ExitCode {
    let args = Args::parse();
    let began = Instant::now();
    let mut total = Summary::default();
    let mut last_report = Instant::now();
    for seed in args.from..args.from + args.seeds {
        match run(seed) {
            Ok(summary) => total.add(&summary),
            Err(violation) => {
                println!("VIOLATION {violation}");
                return ExitCode::FAILURE;
            }
        }
        if last_report.elapsed().as_secs() >= 10 {
            last_report = Instant::now();
            eprintln!("{} seeds, no violation", seed + 1 - args.from);
        }
    }
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let hours = total.simulated_ms as f64 / 3_600_000.0;
    println!("{} seeds, no violation: {total:?}", args.seeds);
    println!("{hours:.0} simulated hours in {minutes:.1} minutes: {:.0} hours a minute", hours / minutes);
    ExitCode::SUCCESS
}
