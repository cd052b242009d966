//! The promise holds under every fault.

use simulation::{Summary, run};

/// Enough for a test; `cargo run --release -p simulation -- --seeds 100000` runs more.
const SEEDS: u64 = 150;

#[test]
fn no_seed_breaks_the_promise() {
    let mut total = Summary::default();
    for seed in 0..SEEDS {
        match run(seed) {
            Ok(summary) => total.add(&summary),
            Err(violation) => panic!("{violation}"),
        }
    }
    // Much must have happened for this to mean anything.
    assert!(total.accepted > 10_000, "{total:?}");
    assert!(total.changes > 2_000 && total.acknowledged > 500 && total.expired > 50, "{total:?}");
    assert!(total.kills > 20 && total.kills_at_commit > 5 && total.repeated > 1_000, "{total:?}");
    assert!(total.restarts > 10 && total.failovers > 5 && total.lost_leases > 20, "{total:?}");
}

#[test]
fn the_same_seed_is_the_same_history() {
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}
