//! Installs packages of PyPI and npm that a folder pins, under `target/tools/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::paths;
use crate::process::run_step;
use crate::pypi;

/// A Python in which the packages of the folder's `requirements.txt` are installed.
///
/// # Errors
/// They cannot be installed.
pub fn find_python(folder: &Path) -> Result<PathBuf> {
    pypi::python_with(&folder.join("requirements.txt"), &format!("{}-python", name(folder)))
}

/// The `node_modules` folder with the packages of the folder's `package-lock.json`. They are installed unless they already are.
///
/// # Errors
/// Node or npm is missing, or npm cannot install them.
pub fn find_node_modules(folder: &Path) -> Result<PathBuf> {
    if paths::on_path("node").is_none() {
        bail!("node is missing (Debian: apt install nodejs)");
    }
    let name = name(folder);
    let home = paths::target().join(format!("tools/{name}-node"));
    let modules = home.join("node_modules");
    let [package, lock] =
        ["package.json", "package-lock.json"].map(|file| (home.join(file), folder.join(file)));
    let wanted = fs::read(&lock.1).with_context(|| format!("cannot read {}", lock.1.display()))?;
    // npm writes this file last. If it is missing, an installation was interrupted.
    let is_installed = modules.join(".package-lock.json").is_file();
    if is_installed && fs::read(&lock.0).is_ok_and(|installed| installed == wanted) {
        return Ok(modules);
    }
    let npm = paths::on_path("npm")
        .with_context(|| format!("npm is missing, which installs the {name} (Debian: apt install npm)"))?;
    fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    for (installed, file) in [package, lock] {
        fs::copy(&file, installed).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    let mut install = Command::new(npm);
    install.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(&home);
    run_step(&format!("installing the {name} of {} from npm", folder.display()), install)?;
    Ok(modules)
}

/// The folder's own name: `upstreams`, `clients` or `openid`.
fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
