//! Requests that need no lookup.

use super::*;

#[test]
fn a_public_route_asks_nothing_whatever_it_carries() {
    let mut talk = talk("");
    assert_eq!(talk.request("POST", "/capture/", &[]), "public");
    assert_eq!(talk.get("/decide/", "phx_wrong"), "public");
    assert_eq!(talk.ask(), None);
}

#[test]
fn keys_are_hidden_on_public_routes_too_and_other_credentials_are_not() {
    let preflight = [("origin", "https://a"), ("access-control-request-method", "GET")];
    let mut talk = talk(r#","hide_credentials":true,"cors_preflight":"forward""#);
    assert_eq!(talk.get("/decide/", VALID), "public, key hidden");
    assert_eq!(talk.get("/decide/", &format!("phx_{}", "0".repeat(50))), "public, key hidden");
    let with_key = [&preflight[..], &[("authorization", "bearer phx_a")]].concat();
    assert_eq!(talk.request("OPTIONS", "/api/projects/", &with_key), "public, key hidden");
    assert_eq!(talk.request("OPTIONS", "/api/projects/", &preflight), "public");
    assert_eq!(talk.get("/decide/", "phc_project_token"), "public");
    assert_eq!(talk.request("GET", "/decide/", &[("authorization", "Basic dTpw")]), "public");
    assert_eq!(talk.request("GET", "/decide/", &[]), "public");
}

#[test]
fn a_project_token_passes_on_the_public_routes_of_posthog_and_nowhere_else() {
    let mut talk = talk(r#","routes":"posthog","hide_credentials":true"#);
    for path in ["/flags/", "/i/v0/ai/batch", "/i/v1/logs", "/array/phc_a/config.js", "/decide"] {
        assert_eq!(talk.get(path, "phc_project"), "public", "{path}");
    }
    for path in ["/flags/definitions", "/api/projects/7/insights/", "/flags/x"] {
        assert_eq!(talk.get(path, "phc_project"), "401 key_invalid", "{path}");
    }
    assert_eq!(talk.ask(), None);
}

#[test]
fn no_key_and_impossible_keys_are_refused_without_a_callout() {
    let mut talk = talk("");
    assert_eq!(talk.request("GET", "/api/projects/", &[]), "401 key_missing");
    assert_eq!(talk.get("/api/projects/", "phc_token"), "401 key_invalid");
    assert_eq!(talk.get("/api/projects/", &format!("phx_{}", "0".repeat(50))), "401 key_invalid");
    assert_eq!(talk.get("/api/projects/", "phx_a phx_b"), "400 ambiguous_request");
    assert_eq!(talk.get("/decide/../api/projects/", VALID), "400 ambiguous_request");
    assert_eq!(talk.ask(), None);
}

#[test]
fn preflights_pass_only_where_they_are_configured_to() {
    let preflight = [("origin", "https://a"), ("access-control-request-method", "GET")];
    assert_eq!(talk("").request("OPTIONS", "/api/projects/", &preflight), "401 key_missing");
    let mut talk = talk(r#","cors_preflight":"forward""#);
    assert_eq!(talk.request("OPTIONS", "/api/projects/", &preflight), "public");
    assert_eq!(talk.request("OPTIONS", "/api/projects/", &preflight[..1]), "401 key_missing");
    assert_eq!(talk.request("OPTIONS", "/x/../api/", &preflight), "400 ambiguous_request");
}

#[test]
fn an_encoded_slash_passes_only_where_a_rule_accepts_it() {
    let preflight = [("origin", "https://a"), ("access-control-request-method", "GET")];
    let mut talk = talk(
        r#","cors_preflight":"forward","routes":[
        {"path":"/files/{name}","scope":"file","encoded_slashes":["name"]},{"path":"/open/{name}","public":true}]"#,
    );
    assert_eq!(talk.get("/files/a%2Fb", VALID), "wait");
    assert_eq!(talk.request("OPTIONS", "/files/a%2Fb", &preflight), "public");
    assert_eq!(talk.request("OPTIONS", "/open/a%2Fb", &preflight), "400 ambiguous_request");
    assert_eq!(talk.get("/open/a%2Fb", VALID), "400 ambiguous_request");
    assert_eq!(talk.get("/files/a%2F..", VALID), "400 ambiguous_request");
}
