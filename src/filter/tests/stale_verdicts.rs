//! Verdicts that are used after the end of the lease, while the key service does not answer.

use super::*;

#[test]
fn a_stale_verdict_is_used_as_long_as_configured_and_only_during_an_outage() {
    let stale = |settings: &str, after_ms| {
        let mut talk = warm(settings);
        talk.now = T0 + 6_000 + after_ms;
        assert_eq!(talk.get("/api/insights/", VALID), "wait");
        talk.ask();
        talk.answer(2, None, &[])[0].1.clone()
    };
    let allowed = r#","on_unavailable":{"serve_stale_s":30}"#;
    assert_eq!(stale("", 0), "503 key_service_unavailable");
    assert_eq!(stale(allowed, 0), "for u1 *");
    assert_eq!(stale(allowed, 29_999), "for u1 *");
    assert_eq!(stale(allowed, 30_000), "503 key_service_unavailable");
}

#[test]
fn an_answer_without_a_lease_that_narrows_the_key_ends_the_stale_verdict() {
    let settings = r#","on_unavailable":{"serve_stale_s":30}"#;
    let expiring = |left_ms: u64| active("*").replace("null", &left_ms.to_string());
    for (answer, outcome) in [
        (active("*"), "for u1 *"),
        (expiring(600_000), "for u1 *"),
        (expiring(5_000), "503 key_service_unavailable"),
        (active("insight:read"), "503 key_service_unavailable"),
        (
            active("*").replace("\"expires", r#""restrictions":{"projects":[7]},"expires"#),
            "503 key_service_unavailable",
        ),
        (INACTIVE.to_owned(), "503 key_service_unavailable"),
    ] {
        let mut talk = warm(settings);
        talk.sync(1, Invalidation::Changed(vec![]));
        talk.now = T0 + 6_000;
        talk.get("/api/insights/", VALID);
        talk.ask();
        talk.answer(2, Some(200), &[&answer]);
        talk.get("/api/insights/", VALID);
        talk.ask();
        assert_eq!(talk.answer(3, None, &[])[0].1, outcome, "{answer}");
    }
}

#[test]
fn full_lookups_alone_allow_no_stale_verdict() {
    let mut talk = warm(r#","on_unavailable":{"serve_stale_s":30},"lookups":{"max_waiters":1}"#);
    talk.now = T0 + 6_000;
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
    assert_eq!(talk.get("/api/insights/", VALID), "503 lookups_full", "the key service answers");
    talk.ask();
    assert_eq!(talk.answer(2, None, &[])[0].1, "for u1 *");
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *", "it did not answer the latest verify");
    talk.ask();
    talk.answer(3, Some(200), &[&active("*")]);
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
    assert_eq!(talk.get("/api/insights/", VALID), "503 lookups_full", "it answers again");
}
