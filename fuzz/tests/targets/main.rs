//! The fuzz targets. Each is a test: it replays its corpus, then runs on random inputs for a second. docs/testing.md
//! has the command that lets an engine look for inputs that reach new code.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation should stop the test")]

mod answers;
mod configurations;
mod edge_api;
mod formats;
mod headers;
mod imports;
mod keys;
mod requests;
mod scopes;
