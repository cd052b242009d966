//! Finds Chromium and chromedriver. `cargo xtask` does not install them: a browser is a package of the system.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::paths;

/// The names of the program on different systems.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// The browser on the PATH.
///
/// # Errors
/// It is not found.
pub fn find_browser() -> Result<PathBuf> {
    BROWSERS.into_iter().find_map(paths::on_path).with_context(|| {
        format!("none of {} is on the PATH (Debian: apt install chromium)", BROWSERS.join(", "))
    })
}

/// The driver on the PATH.
///
/// # Errors
/// It is not found.
pub fn find_driver() -> Result<PathBuf> {
    paths::on_path("chromedriver")
        .context("chromedriver is not on the PATH (Debian: apt install chromium-driver)")
}
