//! Bearer tokens that the upstream judges.

use crate::host::Host;
use crate::{callouts, forwarded, status, values};

const CONFIGURATION: &str = r#"{"key_service":{"cluster":"k"},"hide_credentials":true,"routes":[
    {"path":"/flags/","scope":"flag","bearer_prefixes":["phs_"]},{"path":"/other/","scope":"flag"}]}"#;

#[test]
fn a_token_with_a_listed_prefix_goes_on_as_it_is_and_without_identity() {
    let mut host = Host::start(CONFIGURATION).unwrap_or_else(|log| panic!("{log:?}"));
    let token: [(&str, &[u8]); 3] =
        [("authorization", b"Bearer phs_secret"), ("x-auth-user-id", b"root"), ("X_Auth_Scopes", b"*")];
    let left = host.get("/flags/", &token);
    let headers = forwarded(host.outcome(left));
    assert_eq!(values(&headers, "authorization"), ["Bearer phs_secret"]);
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [":method", ":path", ":authority", "authorization"]);
    assert_eq!(host.filter_state(left, "edge_key_auth.reason").as_deref(), Some("left_to_upstream"));
    let other = host.get("/other/", &token);
    assert_eq!(status(host.outcome(other)), (401, "key_invalid".into()));
    host.turn();
    assert_eq!(callouts(&mut host), (vec![], vec![]), "the key service is not asked");
    host.pass(1_000);
    host.tick();
    assert_eq!(host.metric("requests_left_to_upstream"), 1);
}
