//! Runs many seeds: `cargo run --release -p simulation -- --seeds 100000`.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use protocol::rules::{Rule, break_rule};
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
    /// A rule to break, such as Fence; or `all`, to tell for each after how many seeds it is noticed
    #[arg(long)]
    broken: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match args.broken.as_deref() {
        None => soak(&args),
        Some(name) => {
            let rules: Vec<Rule> =
                Rule::ALL.into_iter().filter(|rule| name == "all" || format!("{rule:?}") == name).collect();
            if rules.is_empty() {
                eprintln!("--broken: no rule is called {name}; there are {:?}", Rule::ALL);
                return ExitCode::from(2);
            }
            rules.into_iter().for_each(|rule| hunt(rule, &args));
            ExitCode::SUCCESS
        }
    }
}

fn soak(args: &Args) -> ExitCode {
    let began = Instant::now();
    let mut total = Summary::default();
    let mut last_told = Instant::now();
    for seed in args.from..args.from + args.seeds {
        match run(seed) {
            Ok(summary) => total.add(&summary),
            Err(violation) => {
                println!("VIOLATION {violation}");
                return ExitCode::FAILURE;
            }
        }
        if last_told.elapsed().as_secs() >= 10 {
            last_told = Instant::now();
            eprintln!("{} seeds, no violation", seed + 1 - args.from);
        }
    }
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let hours = total.simulated_ms as f64 / 3_600_000.0;
    println!("{} seeds, no violation: {total:?}", args.seeds);
    println!("{hours:.0} simulated hours in {minutes:.1} minutes: {:.0} hours a minute", hours / minutes);
    ExitCode::SUCCESS
}

fn hunt(rule: Rule, args: &Args) {
    break_rule(Some(rule));
    let found = (args.from..args.from + args.seeds).find_map(|seed| run(seed).err());
    break_rule(None);
    match found {
        Some(violation) => println!("{rule:?}: {violation}"),
        None => println!("{rule:?}: not noticed in {} seeds", args.seeds),
    }
}
