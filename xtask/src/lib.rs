//! What developers run as `cargo xtask …`, and, for the integration tests, the stack that the demo runs on.

pub mod broken_rules;
pub mod build;
pub mod demo;
pub mod echo;
pub mod finish;
pub mod fleet;
mod interrupt;
pub mod paths;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod render;
mod spawn;
pub mod stack;
pub mod test;
pub mod tools;
mod user;
