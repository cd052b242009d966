//! `cargo xtask test`: every test, with all that the integration tests need.

use std::env;
use std::path::Path;

use anyhow::{Result, bail};

use crate::process::step;
use crate::{build, envoy, paths};

/// Builds what the tests run, then runs all tests of the workspace. Tests that need an Envoy are marked
/// `#[ignore]`, so that a plain `cargo test` needs nothing; here they run, unless no Envoy can be had.
///
/// # Errors
/// A build or a test fails; or, where the variable `CI` is set, tests would be skipped.
pub fn run(asked_for: Option<&Path>, cargo_args: &[String], test_args: &[String]) -> Result<()> {
    build::all()?;
    build::panicking_wasm()?;
    let mut tests = build::cargo("test");
    tests.arg("--workspace").env(paths::WASM_VARIABLE, paths::built_wasm());
    tests.args(cargo_args);
    // Whatever follows the first of cargo's arguments arrives here unread, a `--` too.
    if !cargo_args.iter().any(|argument| argument == "--") {
        tests.arg("--");
    }
    tests.args(test_args);

    let mut skipped = Vec::new();
    match envoy::find(asked_for) {
        Ok(envoy) => {
            tests.env(paths::ENVOY_VARIABLE, envoy).arg("--include-ignored");
        }
        Err(error) if asked_for.is_none() => {
            skipped.push(format!("the tests on a real Envoy: {error:#}"));
        }
        Err(error) => return Err(error),
    }
    if !skipped.is_empty() && env::var_os("CI").is_some_and(|ci| ci == "true") {
        bail!("CI=true, and these would be skipped:\n  {}", skipped.join("\n  "));
    }
    let outcome = step("running the tests", tests);
    for reason in &skipped {
        println!("==> SKIPPED {reason}");
    }
    outcome
}
