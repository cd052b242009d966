//! `cargo xtask fleet`: runs the simulated edges.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Error, Result};
use test_stack::paths;
use test_stack::process::run_step;

use crate::build;

/// Builds the fleet and replaces this process by it, with these arguments.
///
/// # Errors
/// The build fails, or the program cannot be started; otherwise this does not return.
pub fn run(arguments: &[OsString]) -> Result<()> {
    let mut build = build::cargo("build");
    // An unoptimised fleet would distort what it measures.
    build.args(["--release", "--quiet", "--package", "fleet"]);
    run_step("building the fleet", build)?;
    let error = Command::new(paths::target().join("release/fleet")).args(arguments).exec();
    Err(Error::new(error).context("cannot start the fleet"))
}
