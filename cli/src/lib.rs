//! `edge-key-auth check` and `edge-key-auth explain`: what a configuration of the filter, or of the Envoy that runs it, does.
//!
//! 1. [`document`] reads a file as Envoy reads it, and keeps the line of each field.
//! 2. [`envoy`] finds the filter's configurations in the file, and judges the settings of Envoy around them.
//!    [`istio`] and [`envoy_gateway`] do the same for resources of Kubernetes.
//! 3. [`settings`] reads one configuration with the filter's own parser. [`table`] lists its rules as they match.
//! 4. [`catalogue`] has the objects that scopes can name at the key service.
//! 5. [`check`](mod@check) puts this together, and [`explain`](mod@explain) sends one request through the filter.
//!
//! This is a crate of its own because the filter's crate is what Envoy loads, and because the key service, which has a
//! command line too, runs elsewhere: platform engineers check their configuration without a database.

#![deny(unsafe_code)]

pub mod catalogue;
pub mod check;
pub mod document;
pub mod envoy;
pub mod envoy_gateway;
pub mod explain;
pub mod finding;
pub mod istio;
pub mod settings;
pub mod table;
