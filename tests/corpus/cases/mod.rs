//! The corpus: a file for each class, each case with the trick that it tries.

pub(crate) mod headers;
pub(crate) mod methods;
pub(crate) mod paths;
pub(crate) mod pseudo_headers;
pub(crate) mod smuggling;
pub(crate) mod trailers;
pub(crate) mod upgrades;
