//! The real program on a temporary database, through its command line and over HTTP.
//!
//! Databases are SQLite files, or, if the variable `POSTGRES_URL` names a server, on that:
//! `POSTGRES_URL=postgres://me@host/postgres cargo test -p key-service --test service -- --skip sqlite::`.

// Here every function is a test's, the helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod administration;
mod api_errors;
mod audit_log;
mod authority;
mod change_limit;
mod cli;
mod cli_management;
mod connections;
mod database;
mod edge;
mod history;
mod keys;
mod leaks;
mod links;
mod management_tokens;
mod metrics;
mod page;
mod postgresql;
mod proxies;
mod readiness;
mod refusals;
mod request_log;
mod revocation;
mod roles;
mod scan;
mod scrape;
mod scripted_edge;
mod sessions;
mod shutdown;
mod sqlite;
mod startup;
mod storage;
mod support;
mod survival;
mod sync;
mod transfer;
mod upgrade;
mod webhook_receiver;
mod webhooks;
