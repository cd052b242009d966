//! The real program on a temporary database, through its command line and over HTTP.

// Here every function is a test's, the helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api_errors;
mod backup;
mod cli;
mod cli_management;
mod database;
mod edge;
mod history;
mod keys;
mod revocation;
mod scan;
mod scripted_edge;
mod sessions;
mod startup;
mod support;
mod survival;
mod sync;
mod transfer;
