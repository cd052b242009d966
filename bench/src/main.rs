//! What the filter costs Envoy, beside other ways to check keys: `cargo xtask bench`.
//!
//! Each [`variants::Variant`] runs in an Envoy of its own, with one worker. [`course`] puts them under [`load`] in turns, for a short
//! slice each, many times over, so that a busy moment of the machine hits all alike; [`wrk`] does, if it is installed. [`usage`] reads what Envoy's threads
//! consumed. [`report`] is the result, [`table`] and [`chart`] show it.

#![allow(
    clippy::disallowed_methods,
    reason = "it measures by the real clock, and reads variables of the build"
)]

mod authorizer;
mod chart;
mod connection;
mod course;
mod gateway;
mod keys;
mod load;
mod machine;
mod memory;
mod report;
mod statistics;
mod table;
mod usage;
mod variants;
mod wrk;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use test_stack::paths;

/// Measures what the filter costs Envoy, beside other ways to check keys. Needs Linux and two processors. Takes eight minutes;
/// `--rounds 3 --latency-rounds 1 --vms 0` takes two. Writes target/bench/report.json, report.md and chart.svg.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo xtask bench", override_usage = "cargo xtask bench [OPTIONS] [VARIANT]...")]
struct Arguments {
    /// How often each variant is measured
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How often the latency of each variant is measured; 0 to skip it
    #[arg(long, default_value_t = 5)]
    latency_rounds: u32,
    /// How many more VMs the memory of one is measured with; 0 to skip it
    #[arg(long, default_value_t = 8)]
    vms: u32,
    /// How long each slice lasts, in seconds
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    slice_s: u64,
    /// The number of connections
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Send the requests from this program, even if there is a wrk on the PATH
    #[arg(long)]
    without_wrk: bool,
    /// Measure only the variants whose names contain one of these texts; `no filter` and `empty SDK filter` always run
    #[arg(value_name = "VARIANT")]
    only: Vec<String>,
    /// The Envoy to use
    #[arg(long, value_name = "PATH", env = "ENVOY", hide = true)]
    envoy: PathBuf,
    /// The module of the empty filter
    #[arg(long, value_name = "PATH", env = "EMPTY_FILTER_WASM", hide = true)]
    empty: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let (variants, not_chosen) = variants::chosen(&arguments.only)?;
    let plan = course::Plan {
        rounds: arguments.rounds,
        latency_rounds: arguments.latency_rounds,
        additional_vms: arguments.vms,
        slice: Duration::from_secs(arguments.slice_s),
        connections: arguments.connections,
        variants,
        not_chosen,
        wrk: if arguments.without_wrk { None } else { wrk::Wrk::find()? },
        envoy: arguments.envoy.clone(),
        empty: arguments.empty.clone(),
    };
    let report = course::run(&plan)?;
    let table = table::render(&report);
    print!("{table}");
    let folder = paths::target().join("bench");
    let json = serde_json::to_string_pretty(&report)? + "\n";
    for (name, content) in [("report.json", json), ("report.md", table), ("chart.svg", chart::draw(&report))]
    {
        let path = folder.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("==> {}", path.display());
    }
    Ok(())
}
