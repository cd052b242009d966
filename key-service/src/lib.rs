//! The key service: keeps accounts and personal API keys, and tells edges what a key is worth.
//!
//! Where things are:
//! - [`accounts`], [`keys`], [`links`], [`management_tokens`], [`leaks`], [`edges`] and [`verdicts`] do the work, for
//!   the command line and for HTTP alike, [`authority`] compares a caller's rights again in each change, and [`audit`] tells
//!   who did it;
//! - [`leases`] lets edges answer from memory, and is the only way to write what can alter a verdict;
//! - [`transfer`] imports and exports keys, [`backup`] copies the database, [`scan`] finds keys where they should not
//!   be;
//! - `store` holds all SQL;
//! - [`api`] is the public listener, with the `page` beside it, [`edge_api`] the edges' one, [`server`] runs both on their
//!   `connections`, for which there are `places`, with `timed_writes`;
//! - `rate_limit` bounds how often callers may do something, and `network` says which of them count as one;
//! - `metrics` and `readiness` tell how it does, [`webhooks`] tells the operator what happened;
//! - [`cli`] is the command line.

pub mod accounts;
pub mod api;
pub mod audit;
pub mod authority;
pub mod backup;
pub mod cli;
pub mod clock;
mod connections;
pub mod edge_api;
pub mod edge_tokens;
pub mod edges;
mod http;
pub mod invalid;
pub mod key_fields;
pub mod keys;
pub mod leaks;
pub mod links;
pub mod management_tokens;
mod metrics;
mod network;
mod page;
pub mod paging;
pub mod passwords;
mod places;
mod rate_limit;
mod readiness;
pub mod scan;
pub mod server;
pub mod settling;
mod store;
mod timed_writes;
pub mod transfer;
pub mod verdicts;
pub mod webhooks;

pub use http::client_address::{InvalidTrustedProxies, TrustedProxies};
pub use store::{Database, DatabaseLedger, OpenError};
