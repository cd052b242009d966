//! `cargo xtask bench`: measures what the filter costs Envoy.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Error, Result};
use test_stack::envoy::program;
use test_stack::paths;
use test_stack::process::run_step;

use crate::build;

/// Builds the benchmark and what it measures, and replaces this process by the benchmark, with these arguments. The variable
/// `ENVOY` can name the Envoy to use.
///
/// # Errors
/// A build fails, there is no Envoy, or the program cannot be started; otherwise this does not return.
pub fn run(arguments: &[OsString]) -> Result<()> {
    let mut build = build::cargo("build");
    // An unoptimised load would keep Envoy less busy.
    build.args(["--release", "--quiet", "--package", "bench"]);
    run_step("building the benchmark", build)?;
    let mut command = Command::new(paths::target().join("release/bench"));
    command.args(arguments);
    if !arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        build::all()?;
        command.env("EMPTY_FILTER_WASM", build::empty_filter()?);
        let requested = env::var_os(paths::ENVOY_VARIABLE).map(PathBuf::from);
        command.env(paths::ENVOY_VARIABLE, program::find(requested.as_deref())?);
    }
    Err(Error::new(command.exec()).context("cannot start the benchmark"))
}
