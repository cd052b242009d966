//! The programs that integration tests and the demo start: Envoy with the filter, the key service, an upstream, PostgreSQL and
//! a browser.
//!
//! A [`Stack`] runs the first three together. `cargo xtask` builds the filter and the key service, and uses the `find`
//! functions of this crate to find or install the rest. The tests get the path of each program from a variable in [`paths`].

#![allow(clippy::disallowed_methods, reason = "it waits for real programs, and finds them by variables")]

pub mod browser;
pub mod echo;
pub mod envoy;
pub mod key_service;
pub mod paths;
pub mod pinned;
pub mod ports;
pub mod postgres;
pub mod process;
mod pypi;
pub mod schemathesis;
mod stack;

pub use self::envoy::Envoy;
pub use self::key_service::KeyService;
pub use self::stack::{Options, Stack};
