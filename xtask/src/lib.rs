//! The commands of `cargo xtask`. The crate `test-stack` has the programs that demo and tests start.

#![allow(clippy::disallowed_methods, reason = "tasks measure, and take variables as cargo does")]

pub mod bench;
pub mod broken_rules;
pub mod build;
pub mod demo;
pub mod echo;
pub mod finish;
pub mod fleet;
pub mod layout;
pub mod test;
