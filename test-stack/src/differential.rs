//! Installs the servers that the differential tests run behind Envoy from PyPI and npm, under `target/tools/`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::paths;
use crate::process::run_step;
use crate::pypi;

/// A Python in which the servers from PyPI are installed.
///
/// # Errors
/// They cannot be installed.
pub fn find_python() -> Result<PathBuf> {
    pypi::python_with(&paths::upstreams().join("requirements.txt"), "upstreams-python")
}

/// The `node_modules` folder of the servers from npm. They are installed unless they already are.
///
/// # Errors
/// Node or npm is missing, or npm cannot install them.
pub fn find_node_modules() -> Result<PathBuf> {
    if paths::on_path("node").is_none() {
        bail!("node is missing (Debian: apt install nodejs)");
    }
    let home = paths::target().join("tools/upstreams-node");
    let modules = home.join("node_modules");
    let [package, lock] =
        ["package.json", "package-lock.json"].map(|name| (home.join(name), paths::upstreams().join(name)));
    let wanted = fs::read(&lock.1).with_context(|| format!("cannot read {}", lock.1.display()))?;
    // npm writes this file last. If it is missing, an installation was interrupted.
    let is_installed = modules.join(".package-lock.json").is_file();
    if is_installed && fs::read(&lock.0).is_ok_and(|installed| installed == wanted) {
        return Ok(modules);
    }
    let npm = paths::on_path("npm")
        .context("npm is missing, which installs the servers (Debian: apt install npm)")?;
    fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    for (installed, file) in [package, lock] {
        fs::copy(&file, installed).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    let mut install = Command::new(npm);
    install.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(&home);
    run_step("installing the servers of the differential tests from npm", install)?;
    Ok(modules)
}
