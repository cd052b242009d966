//! Edges answer from their caches while they hold a lease, and a change that can alter a verdict waits for each lease. This
//! folder keeps leases, revisions and verdicts in SQL for the crate `leases`.

pub(crate) mod background;
mod batches;
pub mod edges;
mod failover;
mod lease_limit;
pub(crate) mod lease_store;
pub(crate) mod leases;
mod notifications;
pub mod propagation;
mod restore;
pub(crate) mod revision;
pub(crate) mod sql;
pub(crate) mod state;
mod store;
mod uses;
pub(crate) mod verdicts;

pub use lease_store::SqlLeaseStore;
pub use store::Store;
