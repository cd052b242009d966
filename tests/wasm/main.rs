//! The compiled module in a host of our own: its host calls, its cost, and that no input stops it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation should stop the test"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests measure and wait by the real clock, and read their own settings"
)]

mod bearer_prefixes;
mod configuration;
mod configurations;
mod costs;
mod holding;
mod host;
mod lookups;
mod requests;
mod restricted;
mod shadow;
mod sync_off;
mod syncs;

use host::{Callout, Host, Outcome};

const CONFIGURATION: &str = r#"{"key_service":{"cluster":"key_service","timeout_ms":700}}"#;
const VALID: &[u8] = b"Bearer phx_1234567890abcdef";
const ACTIVE: &str =
    r#"{"status":"active","key_id":"k1","user_id":"u1","scopes":["*"],"expires_in_ms":null}"#;

fn start() -> Host {
    Host::start(CONFIGURATION).unwrap_or_else(|log| panic!("{log:?}"))
}

fn verdicts(verdicts: &[&str]) -> String {
    format!(r#"{{"epoch":"e1","revision":1,"verdicts":[{}]}}"#, verdicts.join(","))
}

/// The answer to a sync: `invalidation` is `"reset":true` or `"changed":[…]`.
fn sync(revision: u64, invalidation: &str) -> String {
    format!(r#"{{"epoch":"e1","revision":{revision},"lease_ms":6000,{invalidation}}}"#)
}

/// A POST request with this credential, a body and these trailers.
fn post_with_trailers(
    host: &mut Host,
    path: &str,
    credential: &'static [u8],
    trailers: &[(&str, &[u8])],
) -> u32 {
    let request = host.begin(
        &[
            (":method", b"POST"),
            (":path", path.as_bytes()),
            (":authority", b"api.example.com"),
            ("authorization", credential),
        ],
        false,
    );
    host.body(request, 100, false);
    host.trailers(request, trailers);
    request
}

/// The verifies and the syncs among the callouts sent since the last call.
fn callouts(host: &mut Host) -> (Vec<Callout>, Vec<Callout>) {
    let is_verify =
        |callout: &Callout| callout.headers.contains(&(":path".to_owned(), b"/edge/v1/verify".to_vec()));
    host.take_callouts().into_iter().partition(is_verify)
}

/// The one verify sent since callouts were last taken.
fn verify(host: &mut Host) -> Callout {
    let (mut verifies, _) = callouts(host);
    assert_eq!(verifies.len(), 1, "{verifies:?}");
    verifies.remove(0)
}

/// Answers the first callouts of the edge: with a lease, and with an active verdict for the valid key.
fn give_lease_and_verdict(host: &mut Host) {
    host.turn();
    let (verifies, syncs) = callouts(host);
    host.answer(syncs[0].id, "200", &sync(1, r#""reset":true"#));
    host.answer(verifies[0].id, "200", &verdicts(&[ACTIVE]));
}

/// A host whose edge holds a lease, and knows the valid key.
fn warm() -> Host {
    let mut host = start();
    let request = host.get("/api/projects/", &[("authorization", VALID)]);
    give_lease_and_verdict(&mut host);
    host.end(request);
    host
}

fn forwarded(outcome: Outcome) -> Vec<(String, String)> {
    match outcome {
        Outcome::Forwarded(headers) => {
            let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
            headers.into_iter().map(|(name, value)| (name, text(value))).collect()
        }
        other => panic!("not forwarded: {other:?}"),
    }
}

fn status(outcome: Outcome) -> (u32, String) {
    match outcome {
        Outcome::Replied { status, details, .. } => (status, details),
        other => panic!("not answered: {other:?}"),
    }
}

fn values<'h>(headers: &'h [(String, String)], name: &str) -> Vec<&'h str> {
    headers.iter().filter(|(header, _)| header == name).map(|(_, value)| value.as_str()).collect()
}
