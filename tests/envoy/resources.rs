//! What the tests of the shapes with dynamic resources share.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use test_stack::Envoy;

use crate::client::{Response, send};

/// A module that forwards requests, and fails at each one with a body: proxy-wasm 0.2.1, with `memory`, `malloc`,
/// `proxy_on_context_create`, and `proxy_on_request_headers`, which executes `unreachable` unless `end_of_stream` is 1.
pub(crate) const FAILING_MODULE: &str = "AGFzbQEAAAABFQRgAABgAX8Bf2ACf38AYAN/f38BfwMFBAABAgMFAwEAAQdiBQZtZW1vcnkCABdwcm94eV9hYmlfdmVyc2lvbl8wXzJfMQAABm1hbGxvYwABF3Byb3h5X29uX2NvbnRleHRfY3JlYXRlAAIYcHJveHlfb25fcmVxdWVzdF9oZWFkZXJzAAMKGAQCAAsEAEEACwIACwsAIAJFBEAAC0EACw==";

/// Waits until an answer is as expected; a new resource takes effect a moment after its file is replaced.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "not so after 20 s: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn without_key(envoy: &Envoy, path: &str) -> Response {
    send(envoy.address(), "GET", path, &[], b"")
}

/// The status of a request without a key; none if Envoy closes the connection, as it may while it replaces a listener.
pub(crate) fn status(envoy: &Envoy, path: &str) -> Option<u16> {
    let request = ureq::get(envoy.url(path)).config().http_status_as_error(false).build();
    request.call().ok().map(|response| response.status().as_u16())
}

/// The answer of the admin interface to `/ready`; none if there is no answer.
pub(crate) fn readiness(envoy: &Envoy) -> Option<String> {
    let answer = ureq::get(envoy.admin_url("/ready")).config().http_status_as_error(false).build().call();
    answer.ok()?.body_mut().read_to_string().ok()
}

/// Waits until Envoy waits for the filter, and then sees that it accepts no connection.
pub(crate) fn accepts_nothing(envoy: &Envoy) {
    until("Envoy waits for the filter", || {
        readiness(envoy).is_some_and(|state| state.starts_with("INITIALIZING"))
    });
    for _ in 0..50 {
        assert!(std::net::TcpStream::connect(envoy.address()).is_err());
        thread::sleep(Duration::from_millis(10));
    }
}

/// The listener of a resource, under another name and on another port.
pub(crate) fn on_port(
    envoy: &Envoy,
    listeners: &str,
    (from, to): (&str, &str),
    address: SocketAddr,
) -> String {
    let listener = &listeners[listeners.find("- \"@type\"").unwrap()..];
    let indent = &listeners[..listeners.find("- \"@type\"").unwrap()];
    let indent = &indent[indent.rfind('\n').unwrap() + 1..];
    let port = |address: SocketAddr| format!("port_value: {}", address.port());
    let name = |name: &str| format!("name: {name}");
    assert_eq!(listener.matches(&name(from)).count(), 1, "{listener}");
    let renamed = listener.replace(&name(from), &name(to));
    format!("{indent}{}", renamed.replace(&port(envoy.address()), &port(address)))
}
