//! `sync: off`: the key service only verifies.

use crate::host::{Host, Outcome};
use crate::{ACTIVE, VALID, callouts, forwarded, verdicts};

#[test]
fn no_sync_is_sent_and_a_verdict_is_used_for_its_time_to_live() {
    let mut host = Host::start(r#"{"key_service":{"cluster":"k"},"sync":false}"#)
        .unwrap_or_else(|log| panic!("{log:?}"));
    let log = host.take_log();
    assert!(
        log.len() == 1 && log[0].starts_with("configuration: sync: off: edges receive no changes"),
        "{log:?}"
    );
    let first = host.get("/api/projects/", &[("authorization", VALID)]);
    host.turn();
    let (verifies, syncs) = callouts(&mut host);
    assert_eq!((verifies.len(), syncs.len()), (1, 0));
    host.answer(verifies[0].id, "200", &verdicts(&[ACTIVE]));
    forwarded(host.outcome(first));
    host.pass(4_999);
    host.tick();
    assert_eq!((host.metric("sync_off"), host.metric("leases_held")), (1, 0));
    let cached = host.get("/api/projects/", &[("authorization", VALID)]);
    forwarded(host.outcome(cached));
    host.pass(1);
    let late = host.get("/api/projects/", &[("authorization", VALID)]);
    assert_eq!(host.outcome(late), Outcome::Held);
    host.turn();
    assert_eq!(callouts(&mut host).1, [], "no sync, ever");
}
