//! Finds axe-core, which examines pages for accessibility, or installs it from npm under `target/tools/`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::paths;
use crate::process::step;

const VERSION: &str = "4.14.1";

/// The script that is run inside the page, installed now unless an earlier run did.
///
/// # Errors
/// npm is missing, or cannot install it.
pub fn find() -> Result<PathBuf> {
    let home = paths::target().join(format!("tools/axe-core-{VERSION}"));
    let script = home.join("node_modules/axe-core/axe.min.js");
    if !script.is_file() {
        let npm = paths::on_path("npm").context("npm, which would install it, is missing")?;
        fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
        let mut install = Command::new(npm);
        install.args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
        install.arg(&home).arg(format!("axe-core@{VERSION}"));
        step(&format!("installing axe-core {VERSION} from npm"), install)?;
    }
    ensure!(script.is_file(), "axe-core {VERSION} has no {}", script.display());
    Ok(script)
}
