//! What the browser tests need: Chromium, chromedriver and axe-core.

pub mod axe;
pub mod chromium;
