//! Restricted keys, and the module of a release without them.

use std::path::Path;

use protocol::{Feature, VerifyRequest};

use crate::host::{Callout, Host, Outcome, Setup};
use crate::{ACTIVE, CONFIGURATION, VALID, callouts, forwarded, status, sync, values, verdicts, verify};

const RULES: &str = r#"{"key_service":{"cluster":"k"},"error_bodies":"posthog","routes":[
    {"path":"/p/{id}/{*rest}","scope":"insight","project":"id","project_query":["token"]},
    {"path":"/current/{id}","scope":"insight","project":"id","upstream_judges":["project"]},
    {"path":"/me","scope":"insight"},
    {"path":"/new/{id}","scope":"insight","project":"id","mode":"shadow"}]}"#;

const RESTRICTED: &str = r#"{"status":"active","key_id":"k1","user_id":"u1","scopes":["*"],"restrictions":{"projects":[7,"a-b"]},"expires_in_ms":null}"#;

const PATHS: [&str; 6] =
    ["/p/7/x?limit=1", "/p/8", "/current/@current", "/me", "/p/7/x?limit=1&token=phc_8", "/new/8"];

const FORGED: [(&str, &[u8]); 3] = [
    ("authorization", VALID),
    ("x-auth-restrictions", b"project:8"),
    ("X_Auth.Restrictions", b"organization:evil"),
];

/// The restrictions that the upstream receives.
fn received(host: &mut Host, request: u32) -> Vec<String> {
    let headers = forwarded(host.outcome(request));
    assert_eq!(values(&headers, "x-auth-key-id"), ["k1"]);
    let is_ours = |name: &str| name.to_lowercase().replace(['_', '.'], "-") == "x-auth-restrictions";
    headers.into_iter().filter(|(name, _)| is_ours(name)).map(|(_, value)| value).collect()
}

#[test]
fn where_the_upstream_judges_it_receives_that_a_key_is_not_restricted() {
    let mut host = Host::start(RULES).unwrap_or_else(|log| panic!("{log:?}"));
    let paths = ["/current/@current", "/p/7/x"];
    let waiting = paths.map(|path| host.get(path, &FORGED));
    host.turn();
    let (verifies, syncs) = callouts(&mut host);
    host.answer(syncs[0].id, "200", &sync(1, r#""reset":true"#));
    host.answer(verifies[0].id, "200", &verdicts(&[ACTIVE]));
    let cached = paths.map(|path| host.get(path, &FORGED));
    for [judged, other] in [waiting, cached] {
        assert_eq!(received(&mut host, judged), ["*"]);
        assert_eq!(received(&mut host, other), [""; 0]);
    }
}

fn body(outcome: Outcome) -> String {
    match outcome {
        Outcome::Replied { body, .. } => body,
        other => panic!("not answered: {other:?}"),
    }
}

#[test]
fn a_restricted_key_reaches_its_projects_and_the_upstream_receives_the_restriction() {
    let mut host = Host::start(RULES).unwrap_or_else(|log| panic!("{log:?}"));
    let waiting = PATHS.map(|path| host.get(path, &FORGED));
    host.turn();
    let (verifies, syncs) = callouts(&mut host);
    assert!(verifies[0].body.contains(r#""understands":["restrictions"]"#), "{}", verifies[0].body);
    host.answer(syncs[0].id, "200", &sync(1, r#""reset":true"#));
    host.answer(verifies[0].id, "200", &verdicts(&[RESTRICTED]));
    let cached = PATHS.map(|path| host.get(path, &FORGED));
    assert_eq!(callouts(&mut host).0, [], "the second ones are decided by the cached verdict");
    for [granted, other, current, unknown, replaced, shadowed] in [waiting, cached] {
        for request in [granted, current] {
            assert_eq!(received(&mut host, request), ["project:7 project:a-b"]);
        }
        for (request, detail) in [
            (other, "API key does not have access to the requested project: ID 8."),
            (unknown, "API keys with scoped projects are only supported on project-based endpoints."),
            (replaced, "API keys with scoped projects are only supported on project-based endpoints."),
        ] {
            assert_eq!(status(host.outcome(request)), (403, "key_restricted".into()));
            assert_eq!(host.filter_state(request, "edge_key_auth.key_id").as_deref(), Some("k1"));
            let expected = format!(
                r#"{{"type":"authentication_error","code":"permission_denied","detail":"{detail}","attr":null}}"#
            );
            assert_eq!(body(host.outcome(request)), expected);
        }
        let headers = forwarded(host.outcome(shadowed));
        assert!(headers.iter().all(|(name, _)| !name.to_lowercase().starts_with("x")), "{headers:?}");
        assert_eq!(host.filter_state(shadowed, "edge_key_auth.reason").as_deref(), Some("key_restricted"));
        assert_eq!(host.filter_state(shadowed, "edge_key_auth.key_id").as_deref(), Some("k1"));
    }
    host.pass(1_000);
    host.tick();
    assert_eq!(host.metric("requests_denied_key_restricted"), 6);
    assert_eq!(host.metric("requests_shadowed_key_restricted"), 2);
}

#[test]
fn a_key_without_restrictions_has_no_header_for_them_and_forged_ones_are_removed_everywhere() {
    let mut host = Host::start(RULES).unwrap_or_else(|log| panic!("{log:?}"));
    let headers: [(&str, &[u8]); 3] = [(":method", b"POST"), (":path", b"/p/9"), (":authority", b"a")];
    let request = host.begin(&[&headers[..], &FORGED].concat(), false);
    host.body(request, 10, false);
    host.turn();
    let callout = verify(&mut host);
    host.answer(callout.id, "200", &verdicts(&[ACTIVE]));
    assert_eq!(received(&mut host, request), [""; 0]);
    host.trailers(request, &[("X.Auth_Restrictions", b"project:1"), ("x-checksum", b"1")]);
    assert_eq!(host.trailers_of(request), [("x-checksum".to_owned(), b"1".to_vec())]);
}

#[test]
fn restrictions_that_cannot_be_read_are_no_answer() {
    let mut host = Host::start(RULES).unwrap_or_else(|log| panic!("{log:?}"));
    for restrictions in
        [r#"{"projects":["a b"]}"#, r#"{"projects":7}"#, "[]7", "true", r#"{"organizations":[null]}"#]
    {
        let request = host.get("/p/7", &[("authorization", VALID)]);
        host.turn();
        let callout = verify(&mut host);
        let answer = RESTRICTED.replace(r#"{"projects":[7,"a-b"]}"#, restrictions);
        host.answer(callout.id, "200", &verdicts(&[&answer]));
        assert_eq!(status(host.outcome(request)), (503, "key_service_unavailable".into()), "{restrictions}");
    }
}

/// The lease protocol's answer to an edge: to one that does not understand restrictions, a restricted key is inactive.
fn answer_of_the_service<'v>(callout: &Callout, verdict: &'v str) -> &'v str {
    let request: VerifyRequest = serde_json::from_str(&callout.body).unwrap();
    let understands = request.understands.contains(&Feature::Restrictions);
    if understands || !verdict.contains("restrictions") { verdict } else { r#"{"status":"inactive"}"# }
}

#[test]
fn a_module_without_restrictions_treats_a_restricted_key_as_invalid() {
    let before = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/modules/before-restrictions.wasm");
    for (module, answer) in [(before, 401), (Setup::default().module, 403)] {
        let mut host = Host::start_as(&Setup { module, ..Setup::default() }, CONFIGURATION)
            .unwrap_or_else(|log| panic!("{log:?}"));
        for (verdict, path, expected) in
            [(RESTRICTED, "/api/projects/8/", answer), (ACTIVE, "/api/projects/8/", 200)]
        {
            let request = host.get(path, &[("authorization", VALID)]);
            host.turn();
            let callout = verify(&mut host);
            host.answer(callout.id, "200", &verdicts(&[answer_of_the_service(&callout, verdict)]));
            match expected {
                200 => drop(forwarded(host.outcome(request))),
                expected => assert_eq!(status(host.outcome(request)).0, expected),
            }
        }
    }
}
