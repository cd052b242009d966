//! `cargo xtask build`: builds the Wasm module and the key service that are deployed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use test_stack::paths;
use test_stack::process::run_step;

use crate::finish::{count_allocations, finish, trap_on_many_headers};

/// Refuses to run as part of another folder's build. Cargo takes a `target` that was copied or restored from elsewhere as up to
/// date, and this program would then build and test the sources of that other folder.
///
/// # Errors
/// Cargo runs this program in another folder than it was compiled in.
pub fn require_own() -> Result<()> {
    // Cargo sets this variable also at run time.
    let run_in = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    require_same_folder(Path::new(env!("CARGO_MANIFEST_DIR")), run_in.as_deref())
}

/// `run_in` is `None` if this program was started without cargo.
fn require_same_folder(compiled_in: &Path, run_in: Option<&Path>) -> Result<()> {
    match run_in {
        Some(folder) if folder != compiled_in => bail!(
            "target/ has a build of {}, not of {}. Run `cargo clean --workspace`, then again.",
            compiled_in.display(),
            folder.display()
        ),
        _ => Ok(()),
    }
}

/// The Rust target of the filter.
const WASM_TARGET: &str = "wasm32-wasip1";

/// Builds the module and the key service.
///
/// # Errors
/// A tool is missing, or a build fails.
pub fn all() -> Result<()> {
    wasm()?;
    key_service()
}

/// Builds `target/edge_key_auth.wasm`.
///
/// # Errors
/// The Wasm target is missing and cannot be added, the build fails, or an export that the filter needs is missing.
pub fn wasm() -> Result<()> {
    let built = compile("building the Wasm module")?;
    let finished = finish(&built)?;
    let target = paths::built_wasm();
    write(&target, &finished)?;
    println!("==> {}: {} bytes; {} before the last step", target.display(), finished.len(), built.len());
    Ok(())
}

/// Writes three modules for tests: one without the last step ([`finish`]), as `cargo build` makes it, one that traps at
/// certain requests ([`trap_on_many_headers`]), and one that counts its allocations ([`count_allocations`]).
///
/// # Errors
/// As [`wasm`].
pub fn wasm_for_tests() -> Result<()> {
    let built = compile("building the Wasm modules for tests")?;
    write(&paths::unfinished_wasm(), &built)?;
    write(&paths::counting_wasm(), &count_allocations(&built)?)?;
    write(&paths::trapping_wasm(), &trap_on_many_headers(&finish(&built)?)?)
}

fn write(target: &Path, module: &[u8]) -> Result<()> {
    fs::write(target, module).with_context(|| format!("cannot write {}", target.display()))
}

/// Compiles the module, without the last step.
fn compile(what: &str) -> Result<Vec<u8>> {
    require_wasm_target()?;
    let mut build = cargo("build");
    build.args(["--profile", "wasm", "--target", WASM_TARGET, "--package", "edge-key-auth"]);
    run_step(what, build)?;
    let built = paths::target().join(WASM_TARGET).join("wasm/edge_key_auth.wasm");
    fs::read(&built).with_context(|| format!("cannot read {}", built.display()))
}

/// Builds the filter of the stock SDK that does nothing. Returns its path.
///
/// # Errors
/// The Wasm target is missing and cannot be added, or the build fails.
pub fn empty_filter() -> Result<PathBuf> {
    require_wasm_target()?;
    let mut build = cargo("build");
    build.args(["--profile", "wasm", "--target", WASM_TARGET, "--package", "empty-filter"]);
    run_step("building the empty filter", build)?;
    Ok(paths::target().join(WASM_TARGET).join("wasm/empty_filter.wasm"))
}

/// Builds `target/release/key-service`.
///
/// # Errors
/// The build fails.
pub fn key_service() -> Result<()> {
    let mut build = cargo("build");
    build.args(["--release", "--package", "key-service"]);
    run_step("building the key service", build)?;
    println!("==> {}", paths::built_key_service().display());
    Ok(())
}

/// Builds `target/release/edge-key-auth`, the command that checks configurations.
///
/// # Errors
/// The build fails.
pub fn command() -> Result<()> {
    let mut build = cargo("build");
    build.args(["--release", "--package", "edge-key-auth-cli"]);
    run_step("building the command", build)?;
    println!("==> {}", paths::target().join("release/edge-key-auth").display());
    Ok(())
}

/// The cargo that runs this program, in the workspace.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg(subcommand).current_dir(paths::workspace());
    cargo
}

fn require_wasm_target() -> Result<()> {
    if wasm_target_is_installed()? {
        return Ok(());
    }
    if paths::on_path("rustup").is_none() {
        bail!(
            "the Rust target {WASM_TARGET} is missing, and so is rustup, which adds it. Install rustup from \
             https://rustup.rs, or your system's package of Rust's standard library for {WASM_TARGET}"
        );
    }
    let mut add = Command::new("rustup");
    add.args(["target", "add", WASM_TARGET]).current_dir(paths::workspace());
    run_step(&format!("adding the Rust target {WASM_TARGET}"), add)
}

/// Asks the compiler, so that toolchains without rustup work too.
fn wasm_target_is_installed() -> Result<bool> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut print = Command::new(rustc);
    print.args(["--print", "target-libdir", "--target", WASM_TARGET]).current_dir(paths::workspace());
    let output = print.output().context("cannot run rustc")?;
    let libdir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    Ok(output.status.success() && fs::read_dir(libdir).is_ok_and(|mut files| files.next().is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_of_another_folder_is_refused() {
        let here = Path::new("/here/xtask");
        assert!(require_same_folder(here, Some(here)).is_ok());
        assert!(require_same_folder(here, None).is_ok());
        let refused = require_same_folder(Path::new("/elsewhere/xtask"), Some(here)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "target/ has a build of /elsewhere/xtask, not of /here/xtask. Run `cargo clean --workspace`, then again."
        );
    }
}
