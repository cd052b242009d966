//! The checks pass for a service that conforms, and each fails for a service with one fault.

use std::thread;

use super::*;

mod fake;

use fake::{Fake, Fault};

/// The checks that fail.
fn failed(fault: Option<Fault>, verify_only: bool) -> Vec<(&'static str, String)> {
    let fake = Fake::start(fault);
    let service = Service::new(&fake.url(), fake::TOKEN.to_owned());
    let results = checks(true, verify_only).into_iter().map(|(what, check)| (what, check(&service, &fake)));
    results.filter_map(|(what, result)| Some((what, format!("{:#}", result.err()?)))).collect()
}

#[test]
fn a_service_that_conforms_passes() {
    assert_eq!(failed(None, false), []);
}

#[test]
fn each_fault_fails_a_check() {
    let expected = [
        (Fault::AnyToken, "a request with a wrong token is refused", "status 200"),
        (Fault::TokenByPrefix, "a request with a wrong token is refused", "status 200"),
        (Fault::UnknownIsActive, "an unknown key is inactive", "the key is active"),
        (Fault::NewIsInactive, "a new key is active", "the key is inactive"),
        (Fault::SortedVerdicts, "the verdicts are in the order of the request", "[false, false, true, true]"),
        (Fault::UniqueVerdicts, "the verdicts are in the order of the request", "3 verdicts for 4 digests"),
        (Fault::AtMost255, "256 keys are verified at once", "status 400"),
        (Fault::KnownFieldsOnly, "unknown fields are ignored", "status 400"),
        (Fault::MalformedIs500, "a malformed request is refused", "status 500"),
        (Fault::CachedVerdicts, "a verify after the delete has returned says inactive", "is active"),
        (Fault::SlowFirst, "the first sync is answered at once", "the answer took"),
        (Fault::NeverHolds, "a sync with nothing new is held", "the answer came after"),
        (Fault::ShortLease, "the lease is at least twice the hold plus 2 s", "the lease is 1"),
        (Fault::IgnoresEpoch, "a cursor of another epoch", "the answer took"),
        (Fault::RefusesUsage, "a usage report for an unknown key", "status 400"),
        (Fault::SilentDelete, "when a delete returns, an edge that syncs", "still had the key"),
        (Fault::NoWait, "a delete, and a repeated one, wait", "the delete returned"),
        (
            Fault::NoMargin,
            "a delete, and a repeated one, wait",
            "s before the end of the lease and the margin",
        ),
        (Fault::RepeatedDeleteReturns, "a delete, and a repeated one, wait", "the repeated delete returned"),
        (Fault::LongWait, "a delete, and a repeated one, wait", "after the end of the lease and the margin"),
        (Fault::NoRestrictions, "to an edge that understands restrictions", "the answer has no restrictions"),
        (Fault::NeverRestricted, "to an edge that understands restrictions", "the key is inactive"),
        (
            Fault::IgnoresUnderstands,
            "to an edge that does not understand restrictions",
            "to an edge without `understands`, the key is active",
        ),
    ];
    // Each waits for leases to end, so all run at once.
    thread::scope(|scope| {
        for (fault, what, why) in expected {
            scope.spawn(move || {
                let failed = failed(Some(fault), false);
                let is_found =
                    failed.iter().any(|(check, problem)| check.starts_with(what) && problem.contains(why));
                assert!(is_found, "{fault:?}: {failed:#?}");
            });
        }
    });
}

#[test]
fn without_a_command_for_restricted_keys_their_checks_are_left_out() {
    assert_eq!(checks(true, true).len() - checks(false, true).len(), restrictions::CHECKS.len());
}

#[test]
fn a_service_that_only_verifies_passes_without_the_checks_of_sync() {
    assert_eq!(failed(Some(Fault::NoSync), true), []);
    assert!(!failed(Some(Fault::NoSync), false).is_empty());
}
