//! A request that is not decided is held, whatever the host's options say.

use crate::host::{Host, Outcome, Setup};
use crate::{ACTIVE, CONFIGURATION, VALID, forwarded, status, verdicts, verify};

/// Both modules in both kinds of host: the finished one and the one that the build's last step has not seen, with and
/// without `allow_on_headers_stop_iteration`.
fn hosts() -> Vec<(String, Host)> {
    let mut hosts = Vec::new();
    for (name, module) in
        [("finished", Setup::default().module), ("unfinished", test_stack::paths::unfinished_wasm())]
    {
        for allow_on_headers_stop_iteration in [false, true] {
            let setup = Setup { module: module.clone(), allow_on_headers_stop_iteration, ..Setup::default() };
            let host = Host::start_as(&setup, CONFIGURATION).unwrap_or_else(|log| panic!("{log:?}"));
            hosts.push((format!("{name}, option {allow_on_headers_stop_iteration}"), host));
        }
    }
    hosts
}

fn post(host: &mut Host) -> u32 {
    let headers: [(&str, &[u8]); 4] = [
        (":method", b"POST"),
        (":path", b"/api/projects/"),
        (":authority", b"api.example.com"),
        ("authorization", VALID),
    ];
    host.begin(&headers, false)
}

#[test]
fn neither_body_nor_trailers_let_a_request_pass_before_its_verdict() {
    for (what, mut host) in hosts() {
        let (bodied, empty) = (post(&mut host), post(&mut host));
        for _ in 0..3 {
            host.body(bodied, 100, false);
        }
        for request in [bodied, empty] {
            host.trailers(request, &[("x-checksum", b"1")]);
            assert_eq!((host.outcome(request), host.passed(request)), (Outcome::Held, 0), "{what}");
        }
        host.turn();
        let callout = verify(&mut host);
        host.answer(callout.id, "200", &verdicts(&[ACTIVE]));
        for (request, size) in [(bodied, 300), (empty, 0)] {
            forwarded(host.outcome(request));
            assert_eq!(host.passed(request), size, "{what}");
        }
    }
}

#[test]
fn a_request_whose_key_cannot_be_checked_never_passes() {
    for (what, mut host) in hosts() {
        let request = post(&mut host);
        host.body(request, 100, false);
        host.turn();
        let callout = verify(&mut host);
        host.fail(callout.id);
        host.body(request, 100, true);
        let answer = status(host.outcome(request));
        assert_eq!(answer, (503, "key_service_unavailable".into()), "{what}");
        assert_eq!(host.passed(request), 0, "{what}");
    }
}

#[test]
fn a_denied_request_never_passes_where_the_host_refuses_the_reply() {
    for (what, mut host) in hosts() {
        host.refuse_replies();
        let (bodied, empty) = (post(&mut host), post(&mut host));
        host.turn();
        let callout = verify(&mut host);
        host.answer(callout.id, "200", &verdicts(&[r#"{"status":"inactive"}"#]));
        let denied_at_once = host.begin(
            &[(":method", b"POST"), (":path", b"/api/projects/"), (":authority", b"api.example.com")],
            false,
        );
        for request in [bodied, denied_at_once] {
            host.body(request, 100, true);
        }
        host.trailers(empty, &[("x-checksum", b"1")]);
        for request in [bodied, empty, denied_at_once] {
            assert_eq!((host.outcome(request), host.passed(request)), (Outcome::Held, 0), "{what}");
        }
    }
}

#[test]
fn a_body_after_the_verdict_passes() {
    for (what, mut host) in hosts() {
        let request = post(&mut host);
        host.turn();
        let callout = verify(&mut host);
        host.answer(callout.id, "200", &verdicts(&[ACTIVE]));
        host.body(request, 100, false);
        host.body(request, 50, true);
        assert_eq!(host.passed(request), 150, "{what}");
    }
}

/// Envoy copies each body into the VM for a module that has this callback.
#[test]
fn the_finished_module_is_not_shown_bodies() {
    let finished = Host::start(CONFIGURATION).unwrap_or_else(|log| panic!("{log:?}"));
    assert!(!finished.exports("proxy_on_request_body"));
}
