//! A deterministic simulation of edges and the key service: the production modules themselves, under a scheduler that
//! delays, loses, repeats and reorders messages, stops and restarts everything, and bends clocks; and an oracle that
//! checks the promise after every step.
//!
//! A seed determines a run: [`run`] with the same seed always does the same. `docs/revocation.md` lists what was
//! found.
//!
//! - [`profile`]: the faults of a seed. Uniform randomness misses rare interleavings, so each seed stresses
//!   something.
//! - [`outage`]: the kinds of outages.
//! - [`kernel`]: time, events and pending transactions; [`statement`]: a step of a transaction; [`clock`]: clocks
//!   with skew and drift; [`tasks`]: tasks of the service.
//! - [`database`]: a model of the database; [`replica`]: one process of the service; [`lease_store`]: the service's `LeaseStore`
//!   on both.
//! - [`edges`]: the filter's state machine with its own clocks and callouts.
//! - [`oracle`]: which decisions about a request are right.
//! - [`world`]: everything together; [`summary`]: counts of one run.

mod clock;
pub mod database;
mod edges;
pub mod kernel;
pub mod lease_store;
mod oracle;
pub mod outage;
mod profile;
mod replica;
pub mod statement;
mod summary;
pub mod tasks;
mod world;

pub use oracle::Violation;
pub use profile::Profile;
pub use summary::Summary;
pub use world::World;

/// Runs one seed.
///
/// # Errors
/// The first violation.
pub fn run(seed: u64) -> Result<Summary, Violation> {
    World::new(Profile::of_seed(seed)).run()
}
