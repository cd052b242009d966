//! `cargo xtask test`: runs every test, with the tools that the integration tests need.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Result, bail};
use test_stack::browser::{axe, chromium};
use test_stack::envoy::program;
use test_stack::paths::{
    AXE_VARIABLE, CHROMEDRIVER_VARIABLE, CHROMIUM_VARIABLE, CLIENTS_NODE_VARIABLE, CLIENTS_PYTHON_VARIABLE,
    ENVOY_VARIABLE, OPENID_NODE_VARIABLE, POSTGRES_URL_VARIABLE, POSTGRESQL_VARIABLE, SCHEMATHESIS_VARIABLE,
    SHAPE_VARIABLE, UPSTREAMS_NODE_VARIABLE, UPSTREAMS_PYTHON_VARIABLE,
};
use test_stack::postgres::{self, NON_DURABLE, Postgres};
use test_stack::process::{interrupt, run_step};
use test_stack::{paths, pinned, schemathesis};

use crate::{broken_rules, build};

mod versions;

pub use self::versions::run_on;

/// A run of a test target that needs tools or built programs.
struct Run {
    name: &'static str,
    target: &'static str,
    /// The variables of the tools that the run needs. The run gets no others.
    needs: &'static [&'static str],
    /// The value of [`SHAPE_VARIABLE`], if the run is not of `envoy/`.
    shape: Option<&'static str>,
    /// Selects tests of the target. Tests that need a tool are marked `#[ignore]`, so that a plain `cargo test` needs none.
    flags: &'static [&'static str],
}

/// The variable that tells a test program how many tests to run at a time.
const THREADS_VARIABLE: &str = "RUST_TEST_THREADS";

/// How many tests run at a time on each core if they need no Envoy: these wait most of the time, for leases and processes.
const WAITING_TESTS_PER_CORE: usize = 2;

const RUNS: [Run; 19] = [
    Run { name: "fleet", target: "fleet", needs: &[], shape: None, flags: &["--ignored"] },
    Run { name: "edge API", target: "edge_api", needs: &[], shape: None, flags: &["--ignored"] },
    Run {
        name: "YAML of Envoy",
        target: "envoy_yaml",
        needs: &[ENVOY_VARIABLE],
        shape: None,
        flags: &["--ignored"],
    },
    Run { name: "stack", target: "stack", needs: &[ENVOY_VARIABLE], shape: None, flags: &["--ignored"] },
    Run {
        name: "envoy",
        target: "envoy",
        needs: &[ENVOY_VARIABLE],
        shape: None,
        // Measurements run only by name.
        flags: &["--ignored", "--skip", "replicas::", "--skip", "measure_"],
    },
    Run {
        name: "envoy, as Istio configures it",
        target: "envoy",
        needs: &[ENVOY_VARIABLE],
        shape: Some("istio"),
        // The tests that neither change the text of envoy/envoy.yaml nor depend on its limits, without the slowest ones.
        flags: &[
            "--ignored",
            "configuration::a_rule",
            "configuration::settings",
            "holding::",
            "keys::",
            "outage::",
            "requests::",
            "restricted::",
            "revocation::a_permission",
            "revocation::every_kind",
            "--skip",
            "in_trailers",
            "--skip",
            "two_servers",
            // That module sends the name of Istio's cluster as its authority.
            "--skip",
            "before_restrictions",
        ],
    },
    Run {
        name: "envoy, as Envoy Gateway configures it",
        target: "envoy",
        needs: &[ENVOY_VARIABLE],
        shape: Some("envoy-gateway"),
        // Few of these tests: this configuration is closer to envoy/envoy.yaml.
        flags: &[
            "--ignored",
            "configuration::settings",
            "keys::",
            "requests::identity",
            "requests::the_documented",
        ],
    },
    Run {
        name: "envoy, with PostgreSQL",
        target: "envoy",
        needs: &[ENVOY_VARIABLE, POSTGRESQL_VARIABLE],
        shape: None,
        flags: &["--ignored", "replicas::"],
    },
    Run { name: "corpus", target: "corpus", needs: &[ENVOY_VARIABLE], shape: None, flags: &["--ignored"] },
    Run {
        name: "differential",
        target: "differential",
        needs: &[ENVOY_VARIABLE, UPSTREAMS_PYTHON_VARIABLE, UPSTREAMS_NODE_VARIABLE],
        shape: None,
        flags: &["--ignored"],
    },
    Run {
        name: "PostHog's clients",
        target: "clients",
        needs: &[ENVOY_VARIABLE, CLIENTS_PYTHON_VARIABLE, CLIENTS_NODE_VARIABLE],
        shape: None,
        flags: &["--ignored"],
    },
    Run {
        name: "browser",
        target: "browser",
        needs: &[ENVOY_VARIABLE, CHROMIUM_VARIABLE, CHROMEDRIVER_VARIABLE, AXE_VARIABLE],
        shape: None,
        flags: &["--ignored", "--skip", "openid::"],
    },
    Run {
        name: "OpenID Connect",
        target: "browser",
        needs: &[CHROMIUM_VARIABLE, CHROMEDRIVER_VARIABLE, AXE_VARIABLE, OPENID_NODE_VARIABLE],
        shape: None,
        flags: &["--ignored", "openid::"],
    },
    Run {
        name: "openapi",
        target: "openapi",
        needs: &[SCHEMATHESIS_VARIABLE],
        shape: None,
        flags: &["--ignored"],
    },
    Run {
        name: "postgres",
        target: "postgres",
        needs: &[POSTGRESQL_VARIABLE],
        shape: None,
        flags: &["--ignored"],
    },
    Run {
        name: "conformance",
        target: "conformance",
        needs: &[POSTGRESQL_VARIABLE],
        shape: None,
        flags: &["--ignored"],
    },
    Run {
        name: "service, on PostgreSQL servers of its own",
        target: "service",
        needs: &[POSTGRESQL_VARIABLE],
        shape: None,
        flags: &["--ignored", "postgresql::"],
    },
    Run {
        name: "service, on PostgreSQL",
        target: "service",
        needs: &[POSTGRES_URL_VARIABLE],
        shape: None,
        flags: &["--skip", "sqlite::"],
    },
    Run {
        name: "browser, on PostgreSQL",
        target: "browser",
        needs: &[
            POSTGRES_URL_VARIABLE,
            ENVOY_VARIABLE,
            CHROMIUM_VARIABLE,
            CHROMEDRIVER_VARIABLE,
            AXE_VARIABLE,
        ],
        shape: None,
        // The look of a page does not depend on the database.
        flags: &["--ignored", "wide_screen"],
    },
];

/// The variable of each tool, and its value or why the tool is missing.
type Tools = [(&'static str, Result<OsString>)];

/// Builds the programs under test, then runs all tests of the workspace: first those that need no tool, then [`RUNS`] whose
/// tools are found or can be installed. `cargo_args` select tests instead; then exactly these run.
///
/// # Errors
/// A build or a test fails; or `CI=true` is set and tests would be skipped.
pub fn run(envoy: Option<&Path>, cargo_args: &[String], test_args: &[String]) -> Result<()> {
    interrupt::catch()?; // so that the PostgreSQL started below is stopped and its files are removed
    let programs = Programs::build(cargo_args)?;
    let mut tools = vec![
        (ENVOY_VARIABLE, program::find(envoy).map(OsString::from)),
        (CHROMIUM_VARIABLE, chromium::find_browser().map(OsString::from)),
        (CHROMEDRIVER_VARIABLE, chromium::find_driver().map(OsString::from)),
        (AXE_VARIABLE, axe::find().map(OsString::from)),
        (SCHEMATHESIS_VARIABLE, schemathesis::find().map(OsString::from)),
        (POSTGRESQL_VARIABLE, postgres::programs::find().map(OsString::from)),
        (UPSTREAMS_PYTHON_VARIABLE, pinned::find_python(&paths::upstreams()).map(OsString::from)),
        (UPSTREAMS_NODE_VARIABLE, pinned::find_node_modules(&paths::upstreams()).map(OsString::from)),
        (CLIENTS_PYTHON_VARIABLE, pinned::find_python(&paths::clients()).map(OsString::from)),
        (CLIENTS_NODE_VARIABLE, pinned::find_node_modules(&paths::clients()).map(OsString::from)),
        (OPENID_NODE_VARIABLE, pinned::find_node_modules(&paths::openid()).map(OsString::from)),
    ];
    if let (Some(_), Err(error)) = (envoy, &tools[0].1) {
        bail!("{error:#}");
    }
    if !cargo_args.is_empty() {
        let mut tests = programs.cargo_test(cargo_args, &["--include-ignored"], test_args);
        tests.envs(tools.iter().filter_map(|(variable, found)| Some((variable, found.as_ref().ok()?))));
        return run_step("running the selected tests", tests);
    }

    // Dropped, and so stopped, after the last run.
    let mut _postgres = None;
    let server = match env::var_os(POSTGRES_URL_VARIABLE) {
        Some(url) => Ok(url),
        None => Postgres::start(&NON_DURABLE).map(|postgres| {
            let url = postgres.url("postgres").into();
            _postgres = Some(postgres);
            url
        }),
    };
    tools.push((POSTGRES_URL_VARIABLE, server));
    let (ready, skipped) = split_runs(&tools);
    if !skipped.is_empty() && env::var_os("CI").is_some_and(|ci| ci == "true") {
        bail!("CI=true forbids skipped tests. Skipped:\n  {}", skipped.join("\n  "));
    }
    let run = |what: &str, cargo_args: &[String], needs: &[&str], shape: Option<&str>, flags: &[&str]| {
        let mut tests = programs.cargo_test(cargo_args, flags, test_args);
        match shape {
            Some(shape) => tests.env(SHAPE_VARIABLE, shape),
            None => tests.env_remove(SHAPE_VARIABLE),
        };
        if !needs.contains(&ENVOY_VARIABLE) && env::var_os(THREADS_VARIABLE).is_none() {
            let cores = thread::available_parallelism()?.get();
            tests.env(THREADS_VARIABLE, (WAITING_TESTS_PER_CORE * cores).to_string());
        }
        for (variable, found) in &tools {
            match found {
                Ok(value) if needs.contains(variable) => tests.env(variable, value),
                _ => tests.env_remove(variable),
            };
        }
        run_step(what, tests)
    };
    // No comment has a test in it, and looking for one in each crate takes long.
    let all_targets = ["--all-targets".to_owned()];
    let mut outcome = run("running the tests that need no tools", &all_targets, &[], None, &[]);
    for Run { name, target, needs, shape, flags } in ready {
        let what = format!("running the tests of: {name}");
        let target = ["--test", target].map(str::to_owned);
        outcome = outcome.and_then(|()| run(&what, &target, needs, *shape, flags));
    }
    // Arguments for the test programs select tests, and breaking rules is not one.
    if test_args.is_empty() {
        outcome = outcome.and_then(|()| broken_rules::run(&[], broken_rules::SEEDS));
    }
    for reason in &skipped {
        println!("==> SKIPPED {reason}");
    }
    outcome
}

/// The programs under test.
struct Programs {
    key_service: PathBuf,
}

impl Programs {
    /// Builds the Wasm modules, and the key service with the tests' own profile, so that no dependency is compiled once more
    /// for another one.
    fn build(cargo_args: &[String]) -> Result<Self> {
        build::wasm()?;
        build::wasm_for_tests()?;
        let (profile, folder) = match cargo_args.iter().any(|argument| argument == "--release") {
            true => (&["--release"][..], "release"),
            false => (&[][..], "debug"),
        };
        // With all targets, the run of all tests builds nothing more. With any test, cargo chooses the features of
        // dependencies as it does for tests, and compiles none of them twice.
        let any_test = &["--bin", "key-service", "--test", "stack"][..];
        let targets = if cargo_args.is_empty() { &["--all-targets"][..] } else { any_test };
        let mut key_service = build::cargo("build");
        key_service.arg("--workspace").args(targets).args(profile);
        run_step("building the key service and the tests", key_service)?;
        Ok(Programs { key_service: paths::target().join(folder).join("key-service") })
    }

    /// `cargo test` with arguments for cargo, and two lists of arguments for the test programs.
    fn cargo_test(&self, cargo_args: &[String], flags: &[&str], test_args: &[String]) -> Command {
        let mut tests = build::cargo("test");
        tests.arg("--workspace").args(cargo_args);
        tests.env(paths::WASM_VARIABLE, paths::built_wasm());
        tests.env(paths::KEY_SERVICE_VARIABLE, &self.key_service);
        // After the first argument for cargo, clap passes on everything, also a `--`.
        if !cargo_args.iter().any(|argument| argument == "--") {
            tests.arg("--");
        }
        tests.args(flags).args(test_args);
        tests
    }
}

/// The runs with all tools; and a line for each other run, which says what is missing and why.
fn split_runs(tools: &Tools) -> (Vec<&'static Run>, Vec<String>) {
    let (mut ready, mut skipped) = (Vec::new(), Vec::new());
    for run in &RUNS {
        let missing: Vec<String> = tools
            .iter()
            .filter(|(variable, _)| run.needs.contains(variable))
            .filter_map(|(variable, found)| Some(format!("{variable}: {:#}", found.as_ref().err()?)))
            .collect();
        if missing.is_empty() {
            ready.push(run);
        } else {
            skipped.push(format!("the tests of {}: {}", run.name, missing.join("; ")));
        }
    }
    (ready, skipped)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    /// The names of the ready runs and the reasons of the skipped ones, with every tool but those of `missing`.
    fn split_without(missing: &[&str]) -> (Vec<&'static str>, Vec<String>) {
        let all = RUNS.iter().flat_map(|run| run.needs.iter().copied());
        let tools: Vec<_> = all
            .map(|tool| {
                let lost = missing.contains(&tool);
                (tool, if lost { Err(anyhow!("{tool} is lost")) } else { Ok("/tool".into()) })
            })
            .collect();
        let (ready, skipped) = split_runs(&tools);
        (ready.iter().map(|run| run.name).collect(), skipped)
    }

    #[test]
    fn a_missing_tool_skips_the_runs_that_need_it_and_no_other() {
        let names = RUNS.each_ref().map(|run| run.name);
        assert_eq!(split_without(&[]), (names.to_vec(), vec![]));

        let (ready, skipped) = split_without(&[SCHEMATHESIS_VARIABLE]);
        assert_eq!(ready, names.iter().copied().filter(|name| *name != "openapi").collect::<Vec<_>>());
        assert_eq!(skipped, ["the tests of openapi: SCHEMATHESIS_PYTHON: SCHEMATHESIS_PYTHON is lost"]);

        let (ready, skipped) = split_without(&[ENVOY_VARIABLE]);
        let without_envoy = [
            "fleet",
            "edge API",
            "OpenID Connect",
            "openapi",
            "postgres",
            "conformance",
            "service, on PostgreSQL servers of its own",
            "service, on PostgreSQL",
        ];
        assert_eq!(ready, without_envoy);
        assert_eq!(skipped.len(), names.len() - without_envoy.len());
        assert!(skipped.iter().all(|reason| reason.contains("ENVOY is lost")), "{skipped:?}");
    }
}
