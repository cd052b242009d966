//! Restricted keys.

use super::*;

const SETTINGS: &str = r#","routes":[
    {"path":"/p/{id}/{*rest}","scope":"insight","project":"id"},
    {"path":"/current/{id}","scope":"insight","project":"id","upstream_judges":["project"]},
    {"path":"/o/{org}","scope":"insight","organization":"org","upstream_judges":["project"]},
    {"path":"/me","scope":"insight"},
    {"path":"/new/{id}","scope":"insight","project":"id","mode":"shadow"},
    {"path":"/open","public":true}]"#;

fn restricted(scopes: &str, restrictions: &str) -> String {
    active(scopes).replace(r#""expires_in_ms""#, &format!(r#""restrictions":{restrictions},"expires_in_ms""#))
}

/// An edge that holds a lease and has a key restricted to project 7 in its cache.
fn warm_restricted() -> Talk {
    let mut talk = talk(SETTINGS);
    talk.get("/p/7", VALID);
    talk.sync(1, Invalidation::Reset);
    talk.ask();
    let answered = talk.answer(0, Some(200), &[&restricted("insight:read", r#"{"projects":[7]}"#)]);
    assert_eq!(answered, [(0, "for u1 insight:read in project:7".to_owned())]);
    talk
}

#[test]
fn a_verify_says_that_the_edge_understands_restrictions() {
    let mut talk = talk("");
    talk.get("/api/insights/", VALID);
    let request = talk.filter.next_lookups().unwrap();
    assert_eq!((request.edge.as_str(), &request.understands[..]), ("e1", &[Feature::Restrictions][..]));
}

#[test]
fn a_cached_verdict_is_judged_by_the_place_of_each_request() {
    let mut talk = warm_restricted();
    let (granted, refused) = ("for u1 insight:read in project:7", "403 key_restricted");
    for (path, outcome) in [
        ("/p/7/x/8", granted),
        ("/p/8/x/7", refused),
        ("/p/@current", refused),
        ("/current/7", granted),
        ("/current/@current", granted),
        ("/current/%40current", granted),
        ("/current/8", refused),
        ("/o/acme", granted),
        ("/me", refused),
        ("/unnamed", refused),
        ("/open", "public"),
        ("/new/8", "shadow key_restricted of k1"),
        ("/new/7", granted),
    ] {
        assert_eq!(talk.get(path, VALID), outcome, "{path}");
    }
    assert_eq!(
        talk.request("POST", "/p/7", &[("authorization", "Bearer phx_1234567890abcdef")]),
        "403 scope_missing"
    );
    assert_eq!(talk.request("POST", "/p/8", &[("authorization", "Bearer phx_1234567890abcdef")]), refused);
    let numbers = talk.numbers();
    assert!(numbers.contains(&"requests_denied_key_restricted 6".to_owned()), "{numbers:?}");
    assert!(numbers.contains(&"requests_shadowed_key_restricted 1".to_owned()), "{numbers:?}");
}

#[test]
fn where_the_upstream_judges_it_learns_that_a_key_is_not_restricted() {
    let mut talk = talk(SETTINGS);
    let paths = ["/p/7", "/current/7", "/current/@current", "/o/acme", "/me"];
    for path in paths {
        assert_eq!(talk.get(path, VALID), "wait", "{path}");
    }
    talk.sync(1, Invalidation::Reset);
    talk.ask();
    let answered: Vec<String> = talk
        .answer(0, Some(200), &[&active("insight:write")])
        .into_iter()
        .map(|(_, outcome)| outcome)
        .collect();
    let free = "for u1 insight:write";
    let judged = "for u1 insight:write in *";
    let expected = [free, judged, judged, judged, free];
    assert_eq!(answered, expected);
    assert_eq!(paths.map(|path| talk.get(path, VALID)), expected, "by the cached verdict");
}

#[test]
fn requests_that_wait_for_one_lookup_are_each_judged_by_their_place() {
    let mut talk = talk(SETTINGS);
    for path in ["/p/7", "/p/8/x", "/o/acme", "/o/evil", "/me", "/new/8"] {
        assert_eq!(talk.get(path, VALID), "wait", "{path}");
    }
    assert_eq!(talk.ask(), Some(1));
    let key = restricted("*", r#"{"projects":[7],"organizations":["acme"]}"#);
    let outcomes: Vec<String> =
        talk.answer(0, Some(200), &[&key]).into_iter().map(|(_, outcome)| outcome).collect();
    let granted = "for u1 * in project:7 organization:acme";
    let refused = "403 key_restricted";
    assert_eq!(outcomes, [refused, refused, granted, refused, refused, "shadow key_restricted of k1"]);
}

#[test]
fn a_stale_verdict_is_judged_by_the_place_too() {
    let settings =
        format!(r#"{SETTINGS},"on_unavailable":{{"serve_stale_s":60}},"lookups":{{"max_waiters":1}}"#);
    let mut talk = talk(&settings);
    talk.get("/p/7", VALID);
    talk.sync(1, Invalidation::Reset);
    talk.ask();
    talk.answer(0, Some(200), &[&restricted("*", r#"{"projects":[7]}"#)]);
    talk.now = T0 + 6_000;
    for (callout, path, outcome) in [(1, "/p/7", "for u1 * in project:7"), (2, "/p/8", "403 key_restricted")]
    {
        assert_eq!(talk.get(path, VALID), "wait");
        talk.ask();
        assert_eq!(talk.answer(callout, None, &[])[0].1, outcome, "{path}");
    }
    assert_eq!(talk.get("/p/7", "phx_other"), "wait");
    assert_eq!(talk.get("/p/8", VALID), "403 key_restricted", "there is no room to wait");
    assert_eq!(talk.get("/p/7", VALID), "for u1 * in project:7");
}

#[test]
fn after_a_change_of_the_restrictions_the_next_request_is_judged_by_the_new_ones() {
    let mut talk = warm_restricted();
    talk.sync(2, Invalidation::Changed(vec![KeyDigest::of_value(VALID)]));
    assert_eq!(talk.get("/p/7", VALID), "wait");
    talk.ask();
    let body = restricted("insight:read", r#"{"projects":[8]}"#);
    assert_eq!(talk.answer(1, Some(200), &[&body])[0].1, "403 key_restricted");
}
