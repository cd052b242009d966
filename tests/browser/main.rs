//! The page in a real browser, with the key service behind it and an Envoy that believes in its keys.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that is surprised should stop"
)]

mod axe;
mod driver;
mod elements;
mod traffic;

mod trial;
