//! `cargo xtask test`: every test, with all that the integration tests need.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::paths::{
    AXE_VARIABLE, CHROMEDRIVER_VARIABLE, CHROMIUM_VARIABLE, ENVOY_VARIABLE, SCHEMATHESIS_VARIABLE,
};
use crate::process::step;
use crate::tools::{axe, chromium, envoy, schemathesis};
use crate::{build, paths};

/// The test targets that need more than `cargo test` builds, and the variables that must name the tools among that to
/// them. Their tests are marked `#[ignore]`, so that a plain `cargo test` needs nothing.
const NEEDS: [(&str, &[&str]); 5] = [
    ("fleet", &[]),
    ("envoy", &[ENVOY_VARIABLE]),
    ("stack", &[ENVOY_VARIABLE]),
    ("browser", &[ENVOY_VARIABLE, CHROMIUM_VARIABLE, CHROMEDRIVER_VARIABLE, AXE_VARIABLE]),
    ("openapi", &[SCHEMATHESIS_VARIABLE]),
];

/// Each tool by its variable: where it is, or why it cannot be had.
type Tools = [(&'static str, Result<PathBuf>)];

/// Builds what the tests run, then runs all tests of the workspace: first those that need nothing, then those
/// whose tools can be had. Arguments for cargo choose tests themselves; then exactly these are run.
///
/// # Errors
/// A build or a test fails; or, where the variable `CI` is set, tests would be skipped.
pub fn run(asked_for: Option<&Path>, cargo_args: &[String], test_args: &[String]) -> Result<()> {
    build::all()?;
    build::panicking_wasm()?;
    let tools = [
        (ENVOY_VARIABLE, envoy::find(asked_for)),
        (CHROMIUM_VARIABLE, chromium::find_browser()),
        (CHROMEDRIVER_VARIABLE, chromium::find_driver()),
        (AXE_VARIABLE, axe::find()),
        (SCHEMATHESIS_VARIABLE, schemathesis::find()),
    ];
    if let (Some(_), Err(error)) = (asked_for, &tools[0].1) {
        bail!("{error:#}");
    }
    let cargo_test = |cargo_args: &[String], flags: &[&str]| {
        let mut tests = build::cargo("test");
        tests.arg("--workspace").env(paths::WASM_VARIABLE, paths::built_wasm());
        for (variable, found) in &tools {
            if let Ok(path) = found {
                tests.env(variable, path);
            }
        }
        tests.args(cargo_args);
        // Whatever follows the first of cargo's arguments arrives here unread, a `--` too.
        if !cargo_args.iter().any(|argument| argument == "--") {
            tests.arg("--");
        }
        tests.args(flags).args(test_args);
        tests
    };
    if !cargo_args.is_empty() {
        return step("running the tests asked for", cargo_test(cargo_args, &["--include-ignored"]));
    }

    let (ready, skipped) = sort(&tools);
    if !skipped.is_empty() && env::var_os("CI").is_some_and(|ci| ci == "true") {
        bail!("CI=true, and these would be skipped:\n  {}", skipped.join("\n  "));
    }
    let mut outcome = step("running the tests that need nothing", cargo_test(&[], &[]));
    if outcome.is_ok() && !ready.is_empty() {
        let targets: Vec<String> =
            ready.iter().flat_map(|target| ["--test".to_owned(), (*target).to_owned()]).collect();
        let what = format!("running the tests with tools: {}", ready.join(", "));
        outcome = step(&what, cargo_test(&targets, &["--ignored"]));
    }
    for reason in &skipped {
        println!("==> SKIPPED {reason}");
    }
    outcome
}

/// The targets whose tools are all there; and of each of the others, what is missing and why.
fn sort(tools: &Tools) -> (Vec<&'static str>, Vec<String>) {
    let (mut ready, mut skipped) = (Vec::new(), Vec::new());
    for (target, needs) in NEEDS {
        let missing: Vec<String> = tools
            .iter()
            .filter(|(variable, _)| needs.contains(variable))
            .filter_map(|(variable, found)| Some(format!("{variable}: {:#}", found.as_ref().err()?)))
            .collect();
        if missing.is_empty() {
            ready.push(target);
        } else {
            skipped.push(format!("the tests of `{target}`: {}", missing.join("; ")));
        }
    }
    (ready, skipped)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    /// All the tools, those of `missing` not to be had.
    fn tools(missing: &[&str]) -> Vec<(&'static str, Result<PathBuf>)> {
        let all = NEEDS.into_iter().flat_map(|(_, needs)| needs.iter().copied());
        all.map(|tool| {
            let lost = missing.contains(&tool);
            (tool, if lost { Err(anyhow!("{tool} is lost")) } else { Ok(PathBuf::from("/tool")) })
        })
        .collect()
    }

    #[test]
    fn a_missing_tool_skips_the_targets_that_need_it_and_no_other() {
        assert_eq!(sort(&tools(&[])), (vec!["fleet", "envoy", "stack", "browser", "openapi"], vec![]));

        let (ready, skipped) = sort(&tools(&[CHROMIUM_VARIABLE]));
        assert_eq!(ready, ["fleet", "envoy", "stack", "openapi"]);
        assert_eq!(skipped, ["the tests of `browser`: CHROMIUM: CHROMIUM is lost"]);

        let (ready, skipped) = sort(&tools(&[ENVOY_VARIABLE]));
        assert_eq!(ready, ["fleet", "openapi"]);
        assert_eq!(skipped.len(), 3);
        assert!(skipped.iter().all(|reason| reason.contains("ENVOY is lost")), "{skipped:?}");
    }
}
