//! Programs that are not ours: found on this machine, or installed from a package registry under `target/`.

pub mod envoy;
mod pypi;

pub(crate) mod axe;
pub(crate) mod chromium;
pub(crate) mod postgresql;
pub(crate) mod schemathesis;
pub(crate) mod upstreams;
