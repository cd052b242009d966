//! The promise holds under every fault, and the simulation notices when one rule is broken.

use protocol::rules::{Rule, break_rule};
use simulation::{Summary, run};

/// Enough for a test; `cargo run --release -p simulation -- --seeds 100000` runs more.
const SEEDS: u64 = 150;

/// Each broken rule is noticed within so many seeds: the slowest to notice, that of acknowledgements of another log, takes 1,498.
const NOTICED_WITHIN: u64 = 7_000;

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
    assert!(total.restarts > 10 && total.failovers > 5 && total.forgotten > 20, "{total:?}");
}

#[test]
fn the_same_seed_is_the_same_history() {
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn every_broken_rule_is_noticed() {
    // Each thread breaks rules of its own.
    std::thread::scope(|scope| {
        for rules in Rule::ALL.chunks(Rule::ALL.len().div_ceil(2)) {
            scope.spawn(|| rules.iter().for_each(|&rule| assert_is_noticed(rule)));
        }
    });
}

fn assert_is_noticed(rule: Rule) {
    break_rule(Some(rule));
    let noticed = (0..NOTICED_WITHIN).find(|&seed| run(seed).is_err());
    break_rule(None);
    assert!(noticed.is_some(), "{rule:?} was broken, and {NOTICED_WITHIN} seeds did not notice");
}
