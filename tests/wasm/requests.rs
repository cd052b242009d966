//! Requests: identity, credentials, denials, and what may be sent.

use crate::host::{Host, Outcome};
use crate::{VALID, forwarded, give_lease_and_verdict, post_with_trailers, start, status, values, warm};

#[test]
fn forged_identity_never_gets_through() {
    let forged: &[(&str, &[u8])] = &[
        ("x-auth-user-id", b"root"),
        ("X_Auth_Key_Id", b"root"),
        ("x.auth!key|id", b"root"),
        ("x-auth-scopes", b"*"),
        ("authorization", VALID),
    ];
    let identity = |headers: &[(String, String)]| -> Vec<(String, String)> {
        let is_own = |name: &str| {
            let letters = name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            letters.starts_with("x-auth-")
        };
        headers.iter().filter(|(name, _)| is_own(name)).cloned().collect()
    };
    let mut host = start();
    let public = host.get("/decide/", forged);
    assert_eq!(identity(&forwarded(host.outcome(public))), []);
    let held = host.get("/api/projects/", forged);
    give_lease_and_verdict(&mut host);
    let own = [("x-auth-user-id", "u1"), ("x-auth-key-id", "k1"), ("x-auth-scopes", "*")];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(identity(&forwarded(host.outcome(held))), own);
    let cached = host.get("/api/projects/", forged);
    assert_eq!(identity(&forwarded(host.outcome(cached))), own);
}

/// Access logs and other filters see the headers of a refused request.
#[test]
fn forged_identity_is_removed_before_a_refusal_too() {
    let mut host = start();
    for (path, expected) in [("/decide/../api/", 400), ("/api/projects/", 401)] {
        let request = host.get(path, &[("x.auth.user.id", b"root"), ("X_Auth_Scopes", b"*")]);
        assert_eq!(status(host.outcome(request)).0, expected);
        let names: Vec<String> = host.headers_of(request).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [":method", ":path", ":authority"]);
    }
}

#[test]
fn forged_identity_never_gets_through_in_trailers() {
    let mut host = warm();
    for (path, credential) in [("/decide/", &b"none"[..]), ("/api/projects/", VALID)] {
        let trailers: [(&str, &[u8]); 3] =
            [("x.auth.user.id", b"root"), ("x-checksum", b"1"), ("X_Auth_Scopes", b"*")];
        let request = post_with_trailers(&mut host, path, credential, &trailers);
        forwarded(host.outcome(request));
        assert_eq!(host.trailers_of(request), [("x-checksum".to_owned(), b"1".to_vec())]);
    }
}

#[test]
fn a_request_whose_trailers_cannot_be_read_is_refused() {
    let mut host = warm();
    host.withhold_trailers();
    let request = post_with_trailers(&mut host, "/decide/", b"none", &[("x-auth-user-id", b"root")]);
    assert_eq!(status(host.outcome(request)).0, 400);
}

#[test]
fn denials_carry_the_documented_body_and_challenge() {
    let mut host = start();
    let request = host.get("/api/projects/", &[]);
    let Outcome::Replied { status, details, headers, body } = host.outcome(request) else { panic!() };
    assert_eq!((status, details.as_str()), (401, "key_missing"));
    assert_eq!(body, r#"{"detail":"Authentication credentials were not provided."}"#);
    let headers: Vec<(String, String)> =
        headers.into_iter().map(|(name, value)| (name, String::from_utf8(value).unwrap())).collect();
    assert_eq!(values(&headers, "content-type"), ["application/json"]);
    assert_eq!(values(&headers, "www-authenticate"), [r#"Bearer realm="api""#]);
}

#[test]
fn nothing_a_client_sends_stops_the_vm() {
    let mut host = warm();
    let bytes: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0xff, 0xfe, 0x00],
        b"Bearer \xff\xfe".to_vec(),
        b"Bearer phx_\xc3\x28".to_vec(),
        vec![b'%'; 3],
        vec![b'a'; 100_000],
        [b"Bearer phx_".as_slice(), &vec![b'a'; 100_000]].concat(),
        b"/%ff%fe".to_vec(),
        b"/%".to_vec(),
    ];
    for name in [
        ":method",
        ":path",
        ":authority",
        "authorization",
        "host",
        "origin",
        "x-auth-user-id",
        "x_auth_key_id",
    ] {
        for value in &bytes {
            let request = host.request(&[
                (":method", b"GET"),
                (":path", b"/api/projects/"),
                (":authority", b"a"),
                ("authorization", VALID),
                (name, value),
            ]);
            host.outcome(request);
            let mut headers: Vec<(&str, &[u8])> = vec![
                (":method", b"GET"),
                (":path", b"/api/projects/"),
                (":authority", b"a"),
                ("authorization", VALID),
            ];
            headers.retain(|(header, _)| *header != name);
            headers.push((name, value));
            let request = host.request(&headers);
            host.outcome(request);
            host.turn();
            for callout in host.take_callouts() {
                host.fail(callout.id);
            }
            host.end(request);
        }
    }
    host.request(&[]);
    let request = host.get("/api/projects/", &[("authorization", VALID)]);
    forwarded(host.outcome(request));
}

#[test]
fn credentials_can_be_hidden_from_the_upstream() {
    let mut host = Host::start(r#"{"key_service":{"cluster":"k"},"hide_credentials":true}"#)
        .unwrap_or_else(|log| panic!("{log:?}"));
    let request = host.get("/api/projects/", &[("authorization", VALID)]);
    give_lease_and_verdict(&mut host);
    for request in [request, host.get("/api/projects/", &[("authorization", VALID)])] {
        assert_eq!(values(&forwarded(host.outcome(request)), "authorization"), Vec::<&str>::new());
    }
    for (credential, passes) in [(VALID, false), (b"Bearer phx_wrong", false), (b"Basic dTpw", true)] {
        let request = host.get("/decide/", &[("authorization", credential)]);
        let headers = forwarded(host.outcome(request));
        assert_eq!(values(&headers, "authorization").len(), usize::from(passes));
    }
}

#[test]
fn an_identity_header_that_is_not_chosen_is_removed_and_not_sent() {
    let mut host = Host::start(
        r#"{"key_service":{"cluster":"k"},"identity_headers":{"scopes":null,"key_id":null,"restrictions":null}}"#,
    )
    .unwrap_or_else(|log| panic!("{log:?}"));
    let headers: [(&str, &[u8]); 4] = [
        ("authorization", VALID),
        ("X_Auth_Scopes", b"*"),
        ("x-auth-key-id", b"root"),
        ("x-auth-restrictions", b"project:7"),
    ];
    let held = host.get("/api/projects/", &headers);
    give_lease_and_verdict(&mut host);
    for request in [held, host.get("/api/projects/", &headers)] {
        let headers = forwarded(host.outcome(request));
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [":method", ":path", ":authority", "authorization", "x-auth-user-id"]);
    }
}
