//! What developers run as `cargo xtask …`.

pub mod broken_rules;
pub mod build;
pub mod demo;
pub mod finish;
pub mod fleet;
pub mod layout;
pub mod test;
