//! What integration tests and the demo start: Envoys with the filter, the key service, an upstream, PostgreSQL, a browser.
//!
//! A [`Stack`] is the first three together. `cargo xtask` builds what is ours of it, and finds or installs the rest: each
//! program has a `find` here, and a variable in [`paths`] that names it to the tests.

pub mod browser;
pub mod differential;
pub mod echo;
pub mod envoy;
pub mod key_service;
pub mod paths;
pub mod ports;
pub mod postgres;
pub mod process;
mod pypi;
pub mod schemathesis;
mod stack;

pub use self::envoy::Envoy;
pub use self::key_service::KeyService;
pub use self::stack::{Options, Stack};
