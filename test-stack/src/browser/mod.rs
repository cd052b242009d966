//! The tools of the browser tests: Chromium, chromedriver and axe-core.

pub mod axe;
pub mod chromium;
