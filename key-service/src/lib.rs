//! The key service: keeps users and personal API keys, and answers edges what a key may do.
//!
//! The story of one revocation, by the rooms it passes:
//! 1. [`web`] takes a `DELETE`: it finds the session or the management token, checks what was sent, and limits how often.
//! 2. [`keys`] removes the key in one transaction with the entry of the [`audit`] log; [`accounts`] tells inside it whether
//!    the caller still has its rights.
//! 3. [`revocation`] raises the revision in that transaction, so that every edge hears of the change, and waits until each
//!    edge that holds a lease has acknowledged it or its lease has ended.
//! 4. Only then the `DELETE` returns.
//!
//! Below them is [`db`], which opens the database and runs transactions. Beside them, [`transfer`] imports and exports keys,
//! [`webhooks`] tells an operator of leaked keys, and [`upkeep`] removes what is out of date. [`server`] binds the listeners,
//! and [`cli`] is the command line.

pub mod accounts;
pub mod audit;
pub mod cli;
mod db;
pub mod keys;
mod network;
pub mod paging;
pub mod revocation;
pub mod server;
mod telemetry;
#[cfg(test)]
mod testing;
pub mod time;
pub mod transfer;
mod upkeep;
pub mod validation;
pub mod web;
pub mod webhooks;

pub use db::error::OpenError;
