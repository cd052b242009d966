//! Tests of the filter: each sends requests to one edge, and plays the key service.

use std::cell::{Cell, RefCell};

use super::*;
use crate::answer;
use crate::config::Config;
use crate::headers::{HeaderPairs, serialise};
use crate::request::Reading;

mod bearer_prefixes;
mod cached_verdicts;
mod lookups;
mod outage;
mod requests;
mod restricted;
mod shadow;
mod stale_verdicts;
mod sync_off;
mod syncs;

const T0: u64 = 100;
const VALID: &str = "phx_1234567890abcdef";

/// An edge, and the requests and answers of a test.
struct Talk {
    filter: Filter,
    now: u64,
    /// The address that requests come from.
    from: u32,
    streams: Cell<u32>,
    callouts: Cell<u32>,
}

fn talk(settings: &str) -> Talk {
    let json = format!(r#"{{"key_service":{{"cluster":"k"}}{settings}}}"#);
    let config = Config::read(json.as_bytes()).unwrap();
    let filter =
        Filter::new("e1".into(), Node::default(), 7, [7; 16], config.policy, config.cache, config.lookups);
    Talk { filter, now: T0, from: 1, streams: Cell::new(0), callouts: Cell::new(0) }
}

impl Talk {
    fn request(&mut self, method: &str, path: &str, extra: &[(&str, &str)]) -> String {
        let mut headers: Vec<(&str, &[u8])> =
            vec![(":method", method.as_bytes()), (":path", path.as_bytes()), (":authority", b"a")];
        headers.extend(extra.iter().map(|(name, value)| (*name, value.as_bytes())));
        let block = serialise(&headers);
        let head = Reading::of(HeaderPairs::new(&block).unwrap(), &self.filter.policy.header_policy).head;
        let stream = StreamId(self.streams.replace(self.streams.get() + 1));
        let address = || Address::V4(self.from);
        let now = self.moment();
        match self.filter.arrive(head.as_ref().map_err(|error| *error), address, stream, || now) {
            Step::Decided(outcome) => print(&outcome),
            Step::Hold(_) => "wait".to_owned(),
        }
    }

    fn moment(&self) -> Moment {
        Moment { monotonic: self.now, wall: self.now + 1_000_000 }
    }

    /// A sync is sent, and answered at once.
    fn sync(&mut self, revision: u64, invalidation: Invalidation) -> SyncRequest {
        let request = self.filter.next_sync(self.moment()).expect("no sync is due");
        let answer = SyncResponse { epoch: "e1".into(), revision, lease_ms: 6_000, invalidation };
        assert_eq!(self.filter.sync_ended(Ok(answer), self.moment()), Some(Ok(())));
        request
    }

    fn get(&mut self, path: &str, key: &str) -> String {
        self.request("GET", path, &[("authorization", &format!("Bearer {key}"))])
    }

    /// Sends the next callout of lookups and returns the number of its digests.
    fn ask(&mut self) -> Option<usize> {
        let VerifyRequest { digests, .. } = self.filter.next_lookups()?;
        let asked = digests.len();
        self.filter.lookups_sent(
            CalloutId(self.callouts.replace(self.callouts.get() + 1)),
            digests,
            self.moment(),
        );
        Some(asked)
    }

    fn refused(&mut self) -> Vec<(u32, String)> {
        let outcomes = self.filter.refused(self.moment());
        outcomes.iter().map(|(stream, outcome)| (stream.0, print(outcome))).collect()
    }

    fn undecided(&mut self) -> Vec<(u32, String)> {
        let outcomes = self.filter.undecided(self.moment());
        outcomes.iter().map(|(stream, outcome)| (stream.0, print(outcome))).collect()
    }

    /// The metrics recorded since the last call, sorted.
    fn numbers(&mut self) -> Vec<String> {
        let recorded = RefCell::new(Vec::new());
        let record = |name: &str, value: String| {
            let name = name.trim_start_matches("edge_key_auth_");
            recorded.borrow_mut().push(format!("{name} {value}"));
        };
        let moment = self.moment();
        self.filter.metrics(moment).drain(
            |counter, value| record(counter.name(), value.to_string()),
            |gauge, value| record(gauge.name(), value.to_string()),
            |histogram, value| record(histogram.name(), value.to_string()),
        );
        let mut recorded = recorded.into_inner();
        recorded.sort();
        recorded
    }

    fn answer(&mut self, callout: u32, status: Option<u16>, verdicts: &[&str]) -> Vec<(u32, String)> {
        let body = format!(r#"{{"epoch":"e1","revision":1,"verdicts":[{}]}}"#, verdicts.join(","));
        let read = |asked| answer::read_verify(status, body.as_bytes(), asked);
        let (outcomes, _) =
            self.filter.lookups_ended(CalloutId(callout), read, self.moment()).expect("it is not out");
        outcomes.iter().map(|(stream, outcome)| (stream.0, print(outcome))).collect()
    }
}

fn print(outcome: &Outcome) -> String {
    match outcome {
        Outcome::ForwardPublic { hides_key: false } => "public".to_owned(),
        Outcome::ForwardPublic { hides_key: true } => "public, key hidden".to_owned(),
        Outcome::Forward(grant) => {
            let mut values = grant.header_values();
            let (user_id, _, scopes) = (values.next().unwrap(), values.next(), values.next().unwrap());
            let restrictions = values.next().map(|text| format!(" in {text}"));
            format!("for {user_id} {scopes}{}", restrictions.unwrap_or_default())
        }
        Outcome::LeaveToUpstream(_) => "left to the upstream".to_owned(),
        Outcome::ForwardShadowed(shadowed) => match shadowed.key() {
            Some(key) => format!("shadow {} of {}", shadowed.reason(), key.key_id),
            None => format!("shadow {}", shadowed.reason()),
        },
        Outcome::Reply(reply) => format!("{} {}", reply.status, reply.reason),
    }
}

fn active(scopes: &str) -> String {
    let scopes: Vec<&str> = scopes.split_whitespace().collect();
    format!(r#"{{"status":"active","key_id":"k1","user_id":"u1","scopes":{scopes:?},"expires_in_ms":null}}"#)
}

const INACTIVE: &str = r#"{"status":"inactive"}"#;

/// An edge that holds a lease for 6 s and has a known key in its cache.
fn warm(settings: &str) -> Talk {
    let mut talk = talk(settings);
    talk.get("/api/insights/", VALID);
    talk.ask();
    talk.answer(0, Some(200), &[&active("*")]);
    talk.sync(1, Invalidation::Reset);
    talk.get("/api/insights/", VALID);
    talk.ask();
    talk.answer(1, Some(200), &[&active("*")]);
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *");
    talk
}
