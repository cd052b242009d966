//! The database operations of edges, and of changes that wait for edges, in batches.

pub(super) mod flush;
pub(super) mod held_leases;
pub(super) mod histories;
pub(super) mod records;
pub(super) mod verdicts;
