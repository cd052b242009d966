//! How soon the workers of an Envoy hold a lease again after an outage of the key service.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use test_stack::{Options, Stack};

use crate::DOCUMENTED;
use crate::client::{Connection, request};
use crate::cutoff::{CutOff, Passed, reroute};

const WORKERS: u32 = 2;
const CLIENTS: usize = 16;

/// How long before an answered verify a sync may have been sent and yet be waited for.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(200);

/// Waits until `holds` does.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "not so after a minute: {what}");
        sleep(Duration::from_millis(5));
    }
}

/// How one edge came back.
struct Recovery {
    /// From its first answered verify to the first sign of a lease: an answered sync, or a sync that may be held.
    took: Duration,
    /// How much of that passed before the sync was sent.
    waited: Duration,
    /// The syncs that it sent in that time.
    syncs: usize,
}

/// How the edges came back, if all have. `passed` has the requests since the end of the outage.
fn recoveries(passed: &[Passed]) -> Option<Vec<Recovery>> {
    let edges: BTreeSet<&str> = passed.iter().map(|passed| passed.edge.as_str()).collect();
    if edges.len() < WORKERS as usize {
        return None;
    }
    let of_edge = |edge| {
        let passed = || passed.iter().filter(move |passed| passed.edge == edge);
        let verified = passed().find(|passed| passed.is_answer && !passed.is_sync).map(|passed| passed.at);
        let shows_lease = |passed: &&Passed| {
            // The first answer to a verify gives up a sync that was sent earlier and is not answered yet.
            let is_given_up = verified.is_some_and(|verified| passed.sent_at + GIVEN_UP_AFTER <= verified);
            passed.may_be_held
                || passed.is_sync && passed.is_answer && !(is_given_up && Some(passed.at) > verified)
        };
        let held = passed().find(shows_lease)?.at;
        // With a lease before the first answer to a verify, an edge may need no verify.
        let Some(verified) = verified.filter(|verified| *verified < held) else {
            return Some(Recovery { took: Duration::ZERO, waited: Duration::ZERO, syncs: 0 });
        };
        let is_between = |at: Instant| (verified..=held).contains(&at);
        let is_sync = |passed: &&Passed| {
            passed.is_sync && !passed.may_be_held && !passed.is_answer && is_between(passed.at)
        };
        let sent = passed().rfind(is_sync).map_or(verified, |sync| sync.at);
        Some(Recovery {
            took: held.saturating_duration_since(verified),
            waited: sent.saturating_duration_since(verified),
            syncs: passed().filter(is_sync).count(),
        })
    };
    edges.into_iter().map(of_edge).collect()
}

/// A measurement: `cargo xtask test --release --test envoy -- measure_the_recovery --nocapture`. It takes about 20 minutes.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn measure_the_recovery_from_outages_under_load() {
    let outages: u32 = std::env::var("RECOVERY_OUTAGES").map_or(100, |outages| outages.parse().unwrap());
    let stack = Stack::temporary(&Options { workers: WORKERS, ..Options::default() })
        .unwrap_or_else(|error| panic!("{error:#}"));
    let service: SocketAddr = stack.key_service().edge_url("").trim_start_matches("http://").parse().unwrap();
    let line = CutOff::before(service);
    reroute(&stack.envoys()[0], service, line.address);
    let process = stack.key_service().process();
    let edge = stack.envoys()[0].address();
    let bytes = request("GET", "/api/insights/", &[("authorization", &format!("Bearer {DOCUMENTED}"))], b"");
    let stop = AtomicBool::new(false);
    let latest: [AtomicU16; CLIENTS] = Default::default();
    let all_see = |status: u16| {
        latest.iter().for_each(|latest| latest.store(0, Ordering::SeqCst));
        wait_until(&format!("all clients get {status}"), || {
            latest.iter().all(|latest| latest.load(Ordering::SeqCst) == status)
        });
    };
    let recovered = scope(|scope| {
        for latest in &latest {
            let (bytes, stop) = (&bytes, &stop);
            scope.spawn(move || {
                let mut connection = Connection::open(edge);
                while !stop.load(Ordering::SeqCst) {
                    latest.store(connection.send(bytes).receive().status, Ordering::SeqCst);
                    sleep(Duration::from_millis(10));
                }
            });
        }
        let mut recovered = Vec::new();
        for outage in 0..outages {
            all_see(200);
            wait_until("the metrics of both workers count a lease", || {
                let held = "wasmcustom.edge_key_auth_leases_held";
                stack.envoys()[0].stats(held).unwrap().get(held) == Some(&u64::from(WORKERS))
            });
            // Half of the outages lose callouts, the others refuse them.
            let is_paused = outage % 2 == 0;
            if is_paused { process.pause() } else { process.kill() }.unwrap();
            all_see(503);
            // Syncs fail for up to 5 s more, so the pauses between them grow.
            sleep(Duration::from_millis(u64::from(outage % 100) * 50));
            let ended = Instant::now();
            if is_paused { process.resume() } else { process.start() }.unwrap();
            let mut found = None;
            wait_until("both workers hold a lease", || {
                found = recoveries(&line.passed_since(ended));
                found.is_some()
            });
            recovered.extend(found.unwrap());
        }
        stop.store(true, Ordering::SeqCst);
        recovered
    });
    let of_edges = |time: fn(&Recovery) -> Duration| {
        let mut times: Vec<Duration> = recovered.iter().map(time).collect();
        times.sort_unstable();
        [times[times.len() / 2], times[times.len() * 99 / 100], times[times.len() - 1]]
    };
    let (took, waited) = (of_edges(|edge| edge.took), of_edges(|edge| edge.waited));
    let syncs = recovered.iter().map(|edge| edge.syncs);
    let (all, most) = (syncs.clone().sum::<usize>(), syncs.max().unwrap());
    println!(
        "{outages} outages, {} edges: p50, p99 and maximum from the first answered verify to a lease {took:?}, of which {waited:?} \
         passed before the sync was sent; {all} syncs sent in that time, at most {most} by one edge",
        recovered.len(),
    );
    assert!(most <= 2, "{most} syncs by one edge");
    assert!(took[1] <= Duration::from_millis(500), "{:?} in the 99th percentile", took[1]);
}
