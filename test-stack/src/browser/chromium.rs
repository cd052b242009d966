//! Finds Chromium and the chromedriver that drives it. Neither is installed by us: a browser is the system's.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::paths;

/// What systems call the browser.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// The browser on the PATH.
///
/// # Errors
/// There is none.
pub fn find_browser() -> Result<PathBuf> {
    BROWSERS.into_iter().find_map(paths::on_path).with_context(|| {
        format!("none of {} is on the PATH (Debian: apt install chromium)", BROWSERS.join(", "))
    })
}

/// The driver on the PATH.
///
/// # Errors
/// There is none.
pub fn find_driver() -> Result<PathBuf> {
    paths::on_path("chromedriver")
        .context("chromedriver is not on the PATH (Debian: apt install chromium-driver)")
}
