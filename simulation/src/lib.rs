//! A deterministic simulation of edges and the key service: the production modules themselves, under a scheduler that
//! delays, loses, repeats and reorders messages, stops and restarts everything, and bends clocks; and an oracle that
//! checks the promise after every step.
//!
//! One seed is one history: [`run`] with the same seed always does the same. `docs/revocation.md` tells what was found.
//!
//! - [`profile`]: which faults a seed has. Uniform randomness misses rare interleavings; each seed stresses something.
//! - [`outage`]: what can be out of order for a while.
//! - [`kernel`]: time, events, and transactions on their way; [`clock`]: clocks that are off; [`tasks`]: of the service.
//! - [`database`]: a model of the database; [`replica`]: one process of the service; [`ledger`]: the service's `Ledger`
//!   on both.
//! - [`edges`]: the filter's state machine with clocks and callouts of its own.
//! - [`oracle`]: what may happen to a request, and what may not.
//! - [`world`]: all of it together; [`summary`]: what a run has seen.

pub mod clock;
pub mod database;
pub mod edges;
pub mod kernel;
pub mod ledger;
pub mod oracle;
pub mod outage;
pub mod profile;
pub mod replica;
pub mod statement;
pub mod summary;
pub mod tasks;
pub mod world;

pub use oracle::Violation;
pub use profile::Profile;
pub use summary::Summary;
pub use world::World;

/// Runs one seed.
///
/// # Errors
/// What went wrong, and when.
pub fn run(seed: u64) -> Result<Summary, Violation> {
    World::new(Profile::of_seed(seed)).run()
}
