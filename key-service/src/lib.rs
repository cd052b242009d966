//! The key service: stores users and personal API keys, and answers lookups of edges.
//!
//! One revocation passes through these modules:
//! 1. [`web`] receives a `DELETE`: it finds the session or management token, checks the input, and applies rate limits.
//! 2. [`keys`] removes the key in one transaction with the entry of the [`audit`] log; inside it, [`accounts`]
//!    checks that the caller still has its rights.
//! 3. [`revocation`] raises the revision in that transaction, so that every edge learns of the change, and waits until
//!    each edge that holds a lease has acknowledged it or its lease has ended.
//! 4. Only then does the `DELETE` return.
//!
//! Below them is [`db`], which opens the database and runs transactions. Beside them, [`transfer`] imports and exports keys,
//! [`webhooks`] notifies an operator of leaked keys, [`idempotency`] finds repeated requests, and [`upkeep`] removes outdated rows. [`catalogue`] has the objects
//! that scopes can name. [`settings`] reads flags and environment, [`server`] binds the listeners, and [`cli`] is the command line.

pub mod accounts;
pub mod audit;
mod catalogue;
pub mod cli;
mod db;
mod entries;
pub mod idempotency;
pub mod keys;
mod label;
mod network;
mod outbound;
mod paging;
mod random;
pub mod revocation;
pub mod server;
pub mod settings;
mod telemetry;
#[cfg(test)]
mod testing;
pub mod time;
pub mod transfer;
pub mod upkeep;
mod validation;
mod web;
mod webhooks;

pub use db::error::{Error as DatabaseError, OpenError};
