//! Shadow mode: what would be refused is forwarded without identity.

use super::*;

const SHADOW: &str = r#","mode":"shadow""#;

/// A rule in shadow mode beside an enforced one.
const ONE_RULE: &str = r#","routes":[
    {"path":"/new/{*rest}","scope":"insight","mode":"shadow"},
    {"path":"/old/{*rest}","scope":"insight"}]"#;

#[test]
fn the_filter_in_shadow_mode_forwards_what_it_would_refuse() {
    let mut talk = warm(SHADOW);
    talk.numbers();
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *", "a grant gives identity");
    assert_eq!(talk.request("GET", "/api/insights/", &[]), "shadow key_missing");
    assert_eq!(talk.get("/api/insights/", "phc_token"), "shadow key_invalid");
    assert_eq!(talk.get("/decide/../api/", VALID), "shadow ambiguous_request");
    assert_eq!(talk.get("/api/insights/", "phx_a phx_b"), "shadow ambiguous_request");
    assert_eq!(talk.get("/decide/", "phx_b"), "public");
    assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
    assert_eq!(talk.get("/api/insights/", "phx_c"), "wait");
    talk.ask();
    let answered = talk.answer(2, Some(200), &[INACTIVE, &active("cohort:read")]);
    let outcomes: Vec<&str> = answered.iter().map(|(_, outcome)| outcome.as_str()).collect();
    assert_eq!(outcomes, ["shadow key_invalid", "shadow scope_missing of k1"]);
    assert_eq!(talk.get("/api/insights/", "phx_c"), "shadow scope_missing of k1", "cached");
    let counted: Vec<String> =
        talk.numbers().into_iter().filter(|line| line.starts_with("requests_")).collect();
    assert_eq!(
        counted,
        [
            "requests_forwarded 1",
            "requests_public 1",
            "requests_shadowed_ambiguous_request 2",
            "requests_shadowed_key_invalid 2",
            "requests_shadowed_key_missing 1",
            "requests_shadowed_scope_missing 2",
        ]
    );
}

/// Forged identity headers cannot be removed from headers that cannot be read.
#[test]
fn malformed_headers_are_refused_in_shadow_mode_too() {
    let mut talk = talk(SHADOW);
    assert_eq!(talk.request("GET", "/decide/", &[("content-length", "+3")]), "400 ambiguous_request");
    let block = serialise(&[
        (":method", b"GET"),
        ("x-original-url", b"/"),
        (":path", b"/decide/"),
        (":authority", b"a"),
        ("content-length", b"+3"),
    ]);
    let head = Reading::of(HeaderPairs::new(&block).unwrap(), &talk.filter.policy.header_policy).head;
    assert_eq!(head, Err(Ambiguity::Headers), "whatever else is ambiguous");
}

#[test]
fn a_rule_in_shadow_mode_covers_its_routes_and_no_ambiguous_request() {
    let mut talk = talk(ONE_RULE);
    assert_eq!(talk.request("GET", "/new/1", &[]), "shadow key_missing");
    assert_eq!(talk.request("GET", "/old/1", &[]), "401 key_missing");
    assert_eq!(talk.request("GET", "/other", &[]), "401 key_missing");
    assert_eq!(talk.get("/new/../old", VALID), "400 ambiguous_request");
    assert_eq!(talk.get("/new/1", "phx_a phx_b"), "400 ambiguous_request");
}

#[test]
fn a_request_in_shadow_mode_waits_100_ms_and_an_enforced_one_for_the_same_lookup_waits_on() {
    let mut talk = talk(ONE_RULE);
    assert_eq!(talk.filter.undecided_in_ms(talk.moment()), None);
    assert_eq!(talk.get("/new/1", VALID), "wait");
    assert_eq!(talk.get("/old/1", VALID), "wait");
    assert_eq!(talk.ask(), Some(1), "one lookup for both");
    talk.now = T0 + 40;
    assert_eq!(talk.get("/new/2", VALID), "wait");
    assert_eq!(talk.filter.undecided_in_ms(talk.moment()), Some(60));
    talk.now = T0 + 99;
    assert_eq!(talk.undecided(), []);
    talk.now = T0 + 100;
    assert_eq!(talk.undecided(), [(0, "shadow undecided".to_owned())]);
    assert_eq!(talk.filter.undecided_in_ms(talk.moment()), Some(40));
    talk.now = T0 + 140;
    assert_eq!(talk.undecided(), [(2, "shadow undecided".to_owned())]);
    talk.now = T0 + 900;
    assert_eq!(talk.undecided(), []);
    assert_eq!(talk.answer(0, Some(200), &[&active("*")]), [(1, "for u1 *".to_owned())]);
    assert!(talk.numbers().contains(&"requests_shadowed_undecided 2".to_owned()));
}

#[test]
fn a_request_that_was_answered_or_has_left_is_not_forwarded_again() {
    let mut talk = talk(SHADOW);
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
    assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
    talk.ask();
    talk.filter.leave(&KeyDigest::of_value("phx_b"), StreamId(1));
    assert_eq!(talk.answer(0, Some(200), &[&active("*"), INACTIVE]), [(0, "for u1 *".to_owned())]);
    talk.now += 100;
    assert_eq!(talk.undecided(), []);
    assert_eq!(talk.filter.undecided_in_ms(talk.moment()), None);
}

#[test]
fn without_an_answer_or_room_a_request_in_shadow_mode_is_forwarded_at_once() {
    let mut talk = talk(&format!(r#"{ONE_RULE},"lookups":{{"max_waiters":2}}"#));
    assert_eq!(talk.get("/new/1", VALID), "wait");
    assert_eq!(talk.get("/old/1", VALID), "wait");
    talk.from = 2;
    assert_eq!(talk.get("/new/1", "phx_b"), "shadow lookups_full", "nobody gives way to it");
    talk.ask();
    let unavailable = [(0, "shadow key_service_unavailable"), (1, "503 key_service_unavailable")];
    assert_eq!(talk.answer(0, None, &[]), unavailable.map(|(stream, outcome)| (stream, outcome.to_owned())));

    assert_eq!(talk.get("/new/1", VALID), "wait");
    let outcome = talk.filter.give_up(&KeyDigest::of_value(VALID), StreamId(3));
    assert_eq!(print(&outcome), "shadow key_service_unavailable");
}
