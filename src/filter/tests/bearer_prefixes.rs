//! Bearer tokens that the upstream judges.

use super::*;

const SETTINGS: &str = r#","hide_credentials":true,"routes":[
    {"path":"/flags/{*rest}","scope":"flag","bearer_prefixes":["phs_","pha_"]},
    {"path":"/flags/{id}","methods":["PUT"],"scope":"flag"},
    {"path":"/other","scope":"flag"},
    {"path":"/open","public":true}]"#;

#[test]
fn a_rule_leaves_the_tokens_that_it_names_to_the_upstream() {
    let mut talk = talk(SETTINGS);
    assert_eq!(talk.get("/flags/1/2", "phs_secret"), "left to the upstream");
    assert_eq!(talk.request("POST", "/flags", &[("authorization", "bearer pha_")]), "left to the upstream");
    assert_eq!(talk.numbers(), ["requests_left_to_upstream 2"]);
}

#[test]
fn every_other_token_and_route_is_judged_as_without_prefixes() {
    let mut talk = talk(SETTINGS);
    for (path, token) in [
        ("/flags/1/2", "phc_project"),
        ("/flags/1/2", "PHS_secret"),
        ("/flags/1/2", "aphs_secret"),
        ("/flags/1/2", "phs"),
        ("/other", "phs_secret"),
        ("/unnamed", "phs_secret"),
    ] {
        assert_eq!(talk.get(path, token), "401 key_invalid", "{path} {token}");
    }
    let send =
        |talk: &mut Talk, method, path| talk.request(method, path, &[("authorization", "Bearer phs_a")]);
    assert_eq!(send(&mut talk, "PUT", "/flags/1"), "401 key_invalid");
    assert_eq!(
        send(&mut talk, "GET", "/flags/1"),
        "401 key_invalid",
        "the more specific rule does not list GET"
    );
    assert_eq!(talk.get("/flags/1/2", "phs_a phs_b"), "400 ambiguous_request");
    assert_eq!(talk.request("GET", "/flags/1/2", &[]), "401 key_missing");
    assert_eq!(talk.request("GET", "/flags/1/2", &[("authorization", "phs_secret")]), "401 key_missing");
    assert_eq!(talk.get("/open", "phs_secret"), "public");
    assert_eq!(talk.get("/flags/1/2", VALID), "wait");
}
