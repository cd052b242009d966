//! Installs axe-core, which checks the accessibility of pages, from npm under `target/tools/`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::paths;
use crate::process::run_step;

const VERSION: &str = "4.14.1";

/// The script that runs inside the page. It is installed unless it already is.
///
/// # Errors
/// npm is missing, or cannot install it.
pub fn find() -> Result<PathBuf> {
    let home = paths::target().join(format!("tools/axe-core-{VERSION}"));
    let script = home.join("node_modules/axe-core/axe.min.js");
    if !script.is_file() {
        let npm = paths::on_path("npm")
            .context("npm is missing, which installs axe-core (Debian: apt install npm)")?;
        fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        let mut install = Command::new(npm);
        install.args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
        install.arg(&home).arg(format!("axe-core@{VERSION}"));
        run_step(&format!("installing axe-core {VERSION} from npm"), install)?;
    }
    ensure!(script.is_file(), "the package axe-core {VERSION} does not contain {}", script.display());
    Ok(script)
}
