//! Shadow mode: a request that would be refused continues without identity.

use crate::host::{Host, Outcome};
use crate::{ACTIVE, VALID, callouts, forwarded, post_with_trailers, status, sync, values, verdicts};

const SHADOW: &str = r#"{"key_service":{"cluster":"k"},"mode":"shadow"}"#;

/// A rule in shadow mode beside an enforced one.
const ONE_RULE: &str = r#"{"key_service":{"cluster":"k"},"routes":[
    {"path":"/new/","scope":"insight","mode":"shadow"},{"path":"/old/","scope":"insight"}]}"#;

const LIMITED: &str =
    r#"{"status":"active","key_id":"k2","user_id":"u2","scopes":["cohort:read"],"expires_in_ms":null}"#;

fn start(configuration: &str) -> Host {
    Host::start(configuration).unwrap_or_else(|log| panic!("{log:?}"))
}

/// The value of the identity headers of a request that was forwarded.
fn identity(host: &mut Host, request: u32) -> Vec<String> {
    let headers = forwarded(host.outcome(request));
    ["x-auth-user-id", "x-auth-key-id", "x-auth-scopes"]
        .iter()
        .flat_map(|name| values(&headers, name).into_iter().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

fn reason(host: &mut Host, request: u32) -> Option<String> {
    host.filter_state(request, "edge_key_auth.reason")
}

#[test]
fn requests_that_would_be_refused_go_on_without_identity_and_with_their_reason() {
    let mut host = start(SHADOW);
    let log = host.take_log();
    assert!(
        log.len() == 1 && log[0].starts_with("configuration: mode: shadow: nothing is enforced"),
        "{log:?}"
    );
    let forged: [(&str, &[u8]); 3] =
        [("x-auth-user-id", b"root"), ("X_Auth_Key_Id", b"root"), ("x.auth.scopes", b"*")];
    let with = |key: &'static [u8]| [&forged[..], &[("authorization", key)]].concat();
    for (path, headers, expected) in [
        ("/api/projects/", forged.to_vec(), "key_missing"),
        ("/api/projects/", with(b"Bearer phc_a"), "key_invalid"),
        ("/decide/../api/projects/", with(VALID), "ambiguous_request"),
    ] {
        let request = host.get(path, &headers);
        assert_eq!(identity(&mut host, request), [""; 0], "{expected}");
        let names: Vec<String> = host.headers_of(request).into_iter().map(|(name, _)| name).collect();
        assert!(
            !names.iter().any(|name| name.to_lowercase().starts_with("x.auth") || name.starts_with("X_"))
        );
        assert_eq!(reason(&mut host, request).as_deref(), Some(expected));
        assert_eq!(host.filter_state(request, "edge_key_auth.key_id"), None);
    }
    let granted = host.get("/api/projects/", &with(VALID));
    let limited = host.get("/api/projects/", &with(b"Bearer phx_limited"));
    host.turn();
    let (verifies, syncs) = callouts(&mut host);
    host.answer(syncs[0].id, "200", &sync(1, r#""reset":true"#));
    host.answer(verifies[0].id, "200", &verdicts(&[ACTIVE, LIMITED]));
    assert_eq!(identity(&mut host, granted), ["u1", "k1", "*"]);
    assert_eq!(identity(&mut host, limited), [""; 0]);
    assert_eq!(reason(&mut host, limited).as_deref(), Some("scope_missing"));
    assert_eq!(host.filter_state(limited, "edge_key_auth.key_id").as_deref(), Some("k2"));
    host.pass(1_000);
    host.tick();
    for name in ["ambiguous_request", "key_missing", "key_invalid", "scope_missing"] {
        assert_eq!(host.metric(&format!("requests_shadowed_{name}")), 1, "{name}");
        assert_eq!(host.metric(&format!("requests_denied_{name}")), 0, "{name}");
    }
    let get = |host: &mut Host| {
        host.get("/api/projects/", &[]);
    };
    let calls = host.cost(get).0;
    let expected = [("get_header_map_pairs", 1), ("set_property", 1)];
    assert_eq!(calls.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn forged_identity_in_trailers_is_removed_in_shadow_mode_too() {
    let mut host = start(SHADOW);
    let trailers: [(&str, &[u8]); 2] = [("x.auth.user.id", b"root"), ("x-checksum", b"1")];
    let request = post_with_trailers(&mut host, "/api/projects/", b"none", &trailers);
    forwarded(host.outcome(request));
    assert_eq!(host.trailers_of(request), [("x-checksum".to_owned(), b"1".to_vec())]);
}

#[test]
fn a_forged_header_that_cannot_be_removed_is_refused_in_shadow_mode_too() {
    let mut host = start(SHADOW);
    host.withhold_trailers();
    let request = post_with_trailers(&mut host, "/decide/", b"none", &[("x-auth-user-id", b"root")]);
    assert_eq!(status(host.outcome(request)).0, 400);
}

#[test]
fn after_100_ms_without_an_answer_a_request_goes_on_and_an_enforced_one_with_the_same_key_waits() {
    let mut host = start(ONE_RULE);
    let shadowed = host.get("/new/", &[("authorization", VALID)]);
    let enforced = host.get("/old/", &[("authorization", VALID)]);
    host.turn();
    let (verifies, syncs) = callouts(&mut host);
    host.answer(syncs[0].id, "200", &sync(1, r#""reset":true"#));
    assert!(host.tick_ms() <= 100, "{}", host.tick_ms());
    host.pass(99);
    host.tick();
    assert_eq!(host.outcome(shadowed), Outcome::Held);
    assert_eq!(host.tick_ms(), 1);
    host.pass(1);
    host.tick();
    assert_eq!(identity(&mut host, shadowed), [""; 0]);
    assert_eq!(reason(&mut host, shadowed).as_deref(), Some("undecided"));
    assert_eq!(host.outcome(enforced), Outcome::Held);
    host.end(shadowed);
    host.answer(verifies[0].id, "200", &verdicts(&[ACTIVE]));
    assert_eq!(identity(&mut host, enforced), ["u1", "k1", "*"]);
    let cached = host.get("/new/", &[("authorization", VALID)]);
    assert_eq!(identity(&mut host, cached), ["u1", "k1", "*"], "the answer is cached");
}

#[test]
fn the_waits_of_many_requests_with_one_key_end_without_a_search_for_each() {
    let fuel_for_each = |requests: u64| {
        let mut host = start(SHADOW);
        for _ in 0..requests {
            host.get("/api/projects/", &[("authorization", VALID)]);
        }
        host.turn();
        host.pass(100);
        host.cost(Host::tick).1 / requests
    };
    let (few, many) = (fuel_for_each(100), fuel_for_each(3_000));
    assert!(many < 2 * few, "{few} units of fuel for each of 100 requests, {many} for each of 3,000");
}
