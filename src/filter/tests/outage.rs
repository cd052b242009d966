//! Many edges after an outage of the key service: how soon each holds a lease again, and how close together they sync.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

const OUTAGES: u64 = 100;
const EDGES: usize = 20;
/// How long a callout may take.
const TIMEOUT_MS: u64 = 1_000;
/// How long the test observes the edges after the outage.
const WATCHED_MS: u64 = 2_500;

/// SplitMix64, for numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Request,
    Timer,
    VerifyEnds { callout: u32, answered: bool },
    SyncEnds { sync: u32, answered: bool },
}

/// An edge, and counters of its callouts.
struct Node {
    filter: Filter,
    requests: u32,
    callouts: u32,
    syncs: u32,
    /// When the first verify after the outage was answered, and when a lease was held after that.
    first_answer: Option<u64>,
    held: Option<u64>,
}

/// A sync of an edge without a lease.
struct Sent {
    /// How long after the outage.
    at: u64,
    /// How long after the edge's first answer, if there was one.
    since_first_answer: Option<u64>,
}

/// One outage: whether callouts are refused at once or lost, and when it ends.
struct Outage {
    refuses: bool,
    ends: u64,
    random: Random,
    events: BinaryHeap<Reverse<(u64, usize, Event)>>,
    /// The syncs that edges without a lease sent after it.
    syncs: Vec<Sent>,
}

fn moment(now: u64) -> Moment {
    Moment { monotonic: now, wall: now + 1_000_000 }
}

impl Outage {
    fn happen(&mut self, at: u64, edge: usize, event: Event) {
        self.events.push(Reverse((at, edge, event)));
    }

    /// When a callout that is sent now ends, and whether it is answered.
    fn callout(&mut self, now: u64, takes: u64) -> (u64, bool) {
        match (now >= self.ends, self.refuses) {
            (true, _) => (now + 1 + self.random.below(takes), true),
            (false, true) => (now + 1, false),
            (false, false) => (now + TIMEOUT_MS, false),
        }
    }

    /// Sends what an edge has to send.
    fn pump(&mut self, node: &mut Node, number: usize, now: u64) {
        while let Some(VerifyRequest { digests, .. }) = node.filter.next_lookups() {
            node.callouts += 1;
            let (ends, answered) = self.callout(now, 10);
            node.filter.lookups_sent(CalloutId(node.callouts), digests, moment(now));
            self.happen(ends, number, Event::VerifyEnds { callout: node.callouts, answered });
        }
        node.filter.refused(moment(now));
        if let Some(request) = node.filter.next_sync(moment(now)) {
            node.syncs += 1;
            let (ends, answered) = self.callout(now, 50);
            if answered && request.wait_ms == 0 {
                let since_first_answer = node.first_answer.map(|first| now - first);
                self.syncs.push(Sent { at: now - self.ends, since_first_answer });
            }
            self.happen(ends + request.wait_ms, number, Event::SyncEnds { sync: node.syncs, answered });
        } else if let Some(due) = node.filter.sync_due_in_ms(moment(now)) {
            self.happen(now + due, number, Event::Timer);
        }
    }

    fn perform(&mut self, node: &mut Node, number: usize, now: u64, event: Event) {
        match event {
            Event::Timer => {}
            Event::Request => {
                let key = format!("Bearer phx_{}", self.random.below(1_000));
                let headers: [(&str, &[u8]); 4] = [
                    (":method", b"GET"),
                    (":path", b"/api/insights/"),
                    (":authority", b"a"),
                    ("authorization", key.as_bytes()),
                ];
                let block = serialise(&headers);
                let head =
                    Reading::of(HeaderPairs::new(&block).unwrap(), &node.filter.policy.header_policy).head;
                node.requests += 1;
                let stream = StreamId(node.requests);
                let head = head.as_ref().map_err(|error| *error);
                node.filter.arrive(head, || Address::Other, stream, || moment(now));
                let gap = 1 + self.random.below(100);
                self.happen(now + gap, number, Event::Request);
            }
            Event::VerifyEnds { callout, answered } => {
                let read = |asked| {
                    let body = format!(r#"{{"epoch":"e1","revision":1,"verdicts":{:?}}}"#, vec![0; asked]);
                    let body = body.replace('0', INACTIVE);
                    answer::read_verify(answered.then_some(200), body.as_bytes(), asked)
                };
                let (_, outcome) = node.filter.lookups_ended(CalloutId(callout), read, moment(now)).unwrap();
                assert_eq!(outcome.is_ok(), answered);
                if answered {
                    node.first_answer.get_or_insert(now);
                }
            }
            Event::SyncEnds { sync, answered } if sync == node.syncs => {
                let invalidation = Invalidation::Reset;
                let answer = SyncResponse { epoch: "e1".into(), revision: 1, lease_ms: 6_000, invalidation };
                let answer = if answered { Ok(answer) } else { Err(NoAnswer::Timeout) };
                let _ = node.filter.sync_ended(answer, moment(now));
                if answered {
                    node.held.get_or_insert(now);
                }
            }
            Event::SyncEnds { .. } => {}
        }
        self.pump(node, number, now);
    }
}

/// How long each edge had no lease after its first answered verify, and the syncs that edges without a lease sent.
fn after_an_outage(seed: u64) -> (Vec<u64>, Vec<Sent>) {
    let mut random = Random(seed);
    let ends = 2_000 + random.below(8_000);
    let mut outage = Outage {
        refuses: seed.is_multiple_of(2),
        ends,
        random,
        events: BinaryHeap::new(),
        syncs: Vec::new(),
    };
    let mut nodes: Vec<Node> = (0..EDGES)
        .map(|number| {
            let config = Config::read(br#"{"key_service":{"cluster":"k"}}"#).unwrap();
            let seed = outage.random.below(u64::MAX);
            let filter = Filter::new(
                format!("e{number}"),
                protocol::Node::default(),
                seed,
                u128::from(seed).to_le_bytes(),
                config.policy,
                config.cache,
                config.lookups,
            );
            Node { filter, requests: 0, callouts: 0, syncs: 0, first_answer: None, held: None }
        })
        .collect();
    for number in 0..EDGES {
        let first = outage.random.below(1_000);
        outage.happen(first, number, Event::Request);
    }
    while let Some(Reverse((now, number, event))) = outage.events.pop() {
        if now > ends + WATCHED_MS {
            break;
        }
        outage.perform(&mut nodes[number], number, now, event);
    }
    let took = |node: &Node| match (node.first_answer, node.held) {
        (Some(first), Some(held)) => held.saturating_sub(first),
        _ => WATCHED_MS,
    };
    (nodes.iter().map(took).collect(), outage.syncs)
}

#[test]
fn after_an_outage_edges_under_load_get_leases_soon_and_spread_their_syncs() {
    let (mut took, mut syncs) = (Vec::new(), Vec::new());
    for seed in 0..OUTAGES {
        let (took_here, syncs_here) = after_an_outage(seed);
        took.extend(took_here);
        syncs.extend(syncs_here);
    }
    took.sort_unstable();
    let (edges, p99) = (took.len(), took[took.len() * 99 / 100]);
    let since_answers: Vec<u64> = syncs.iter().filter_map(|sync| sync.since_first_answer).collect();
    let in_quarter = |n: u64| since_answers.iter().filter(|&&since| since <= 200 && since / 51 == n).count();
    let quarters = [0, 1, 2, 3].map(in_quarter);
    let busiest = (0..WATCHED_MS / 10).map(|n| syncs.iter().filter(|sync| sync.at / 10 == n).count()).max();
    let busiest = busiest.unwrap();
    println!(
        "{edges} edges: p50 {} ms, p99 {p99} ms; {} syncs in {WATCHED_MS} ms, {busiest} in the busiest 10 ms; after the first \
         answer {quarters:?} in the quarters of 200 ms",
        took[edges / 2],
        syncs.len(),
    );
    assert!(p99 <= 500, "{p99} ms in the 99th percentile");
    assert!(syncs.len() <= edges * 11 / 10, "{} syncs of {edges} edges without a lease", syncs.len());
    assert!(busiest <= edges / 15, "{busiest} of {edges} edges synced in the same 10 ms");
    let least = since_answers.len() / 8;
    assert!(
        quarters.iter().all(|&in_quarter| in_quarter >= least),
        "{quarters:?} of {}",
        since_answers.len()
    );
}
