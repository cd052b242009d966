//! The real program on a temporary database, through its command line and over HTTP.
//!
//! Databases are SQLite files, or, if the variable `POSTGRES_URL` names a server, on that:
//! `POSTGRES_URL=postgres://me@host/postgres cargo test -p key-service --test service -- --skip sqlite::`.

// Here every function is a test's, the helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "tests measure and wait by the real clock")]

mod api;
mod catalogue;
mod cli;
mod edge;
mod server;
mod storage;
mod support;
mod ui;
