use std::cell::{Cell, RefCell};

use super::*;
use crate::answer;
use crate::config::Config;
use crate::headers::{HeaderPairs, serialise};
use crate::request::Reading;

mod bearer_prefixes;
mod outage;
mod restricted;
mod shadow;
mod sync_off;

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
    let filter = Filter::new("e1".into(), Node::default(), 7, config.policy, config.cache, config.lookups);
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
        match self.filter.arrive(head.as_ref().map_err(|error| *error), address, stream, self.moment()) {
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
            let principal = grant.principal();
            let restricted =
                principal.restricted.as_ref().map(|restricted| format!(" in {}", restricted.text));
            format!("for {} {}{}", principal.user_id, principal.scopes_text, restricted.unwrap_or_default())
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

#[test]
fn a_public_route_asks_nothing_whatever_it_carries() {
    let mut talk = talk("");
    assert_eq!(talk.request("POST", "/capture/", &[]), "public");
    assert_eq!(talk.get("/decide/", "phx_wrong"), "public");
    assert_eq!(talk.ask(), None);
}

#[test]
fn keys_are_hidden_on_public_routes_too_and_other_credentials_are_not() {
    let preflight = [("origin", "https://a"), ("access-control-request-method", "GET")];
    let mut talk = talk(r#","hide_credentials":true,"cors_preflight":"forward""#);
    assert_eq!(talk.get("/decide/", VALID), "public, key hidden");
    assert_eq!(talk.get("/decide/", &format!("phx_{}", "0".repeat(50))), "public, key hidden");
    let with_key = [&preflight[..], &[("authorization", "bearer phx_a")]].concat();
    assert_eq!(talk.request("OPTIONS", "/api/projects/", &with_key), "public, key hidden");
    assert_eq!(talk.request("OPTIONS", "/api/projects/", &preflight), "public");
    assert_eq!(talk.get("/decide/", "phc_project_token"), "public");
    assert_eq!(talk.request("GET", "/decide/", &[("authorization", "Basic dTpw")]), "public");
    assert_eq!(talk.request("GET", "/decide/", &[]), "public");
}

#[test]
fn a_project_token_passes_on_the_public_routes_of_posthog_and_nowhere_else() {
    let mut talk = talk(r#","routes":"posthog","hide_credentials":true"#);
    for path in ["/flags/", "/i/v0/ai/batch", "/i/v1/logs", "/array/phc_a/config.js", "/decide"] {
        assert_eq!(talk.get(path, "phc_project"), "public", "{path}");
    }
    for path in ["/flags/definitions", "/api/projects/7/insights/", "/flags/x"] {
        assert_eq!(talk.get(path, "phc_project"), "401 key_invalid", "{path}");
    }
    assert_eq!(talk.ask(), None);
}

#[test]
fn no_key_and_impossible_keys_are_refused_without_a_callout() {
    let mut talk = talk("");
    assert_eq!(talk.request("GET", "/api/projects/", &[]), "401 key_missing");
    assert_eq!(talk.get("/api/projects/", "phc_token"), "401 key_invalid");
    assert_eq!(talk.get("/api/projects/", &format!("phx_{}", "0".repeat(50))), "401 key_invalid");
    assert_eq!(talk.get("/api/projects/", "phx_a phx_b"), "400 ambiguous_request");
    assert_eq!(talk.get("/decide/../api/projects/", VALID), "400 ambiguous_request");
    assert_eq!(talk.ask(), None);
}

#[test]
fn an_answer_decides_for_each_waiter_by_its_own_route() {
    let mut talk = talk("");
    for (method, path) in [("GET", "/api/insights/"), ("POST", "/api/insights/"), ("GET", "/api/projects/")] {
        assert_eq!(talk.request(method, path, &[("authorization", "Bearer phx_a")]), "wait");
    }
    assert_eq!((talk.ask(), talk.ask()), (Some(1), None));
    let steps = talk.answer(0, Some(200), &[&active("insight:read")]);
    let expected = ["for u1 insight:read", "403 scope_missing", "403 scope_missing"];
    assert_eq!(steps, (0..).zip(expected.map(str::to_owned)).collect::<Vec<_>>());
}

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

#[test]
fn an_edge_subscribes_with_its_first_lookup() {
    let mut talk = talk("");
    talk.request("GET", "/decide/", &[]);
    talk.request("GET", "/api/insights/", &[]);
    assert_eq!(talk.filter.sync_due_in_ms(talk.moment()), None);
    talk.get("/api/insights/", VALID);
    assert_eq!(talk.filter.sync_due_in_ms(talk.moment()), Some(0));
    let request = talk.filter.next_sync(talk.moment()).unwrap();
    assert_eq!((request.epoch, request.cursor, request.wait_ms), (None, None, 0));
    assert_eq!(talk.filter.next_sync(talk.moment()), None, "one is outstanding at a time");
}

#[test]
fn nothing_is_remembered_without_a_lease() {
    let mut talk = talk("");
    for callout in 0..2 {
        assert_eq!(talk.get("/api/insights/", VALID), "wait");
        talk.ask();
        talk.answer(callout, Some(200), &[&active("*")]);
    }
}

#[test]
fn a_known_key_is_answered_from_memory_while_the_lease_is_held() {
    let mut talk = warm("");
    talk.now = T0 + 5_999;
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *");
    talk.now = T0 + 6_000;
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
    assert_eq!(talk.sync(1, Invalidation::Changed(vec![])).cursor, Some(1));
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *", "with the lease the memory is back");
}

#[test]
fn after_a_sync_without_an_answer_the_next_is_not_held_back() {
    let mut talk = warm("");
    assert_eq!(talk.sync(1, Invalidation::Changed(vec![])).wait_ms, 2_000);
    talk.now += 5_000;
    talk.filter.next_sync(talk.moment()).unwrap();
    assert_eq!(talk.filter.sync_ended(Err(NoAnswer::Timeout), talk.moment()), Some(Err(NoAnswer::Timeout)));
    talk.now += 250;
    assert_eq!(talk.filter.next_sync(talk.moment()).unwrap().wait_ms, 0, "though the lease still runs");
}

#[test]
fn a_lease_runs_from_when_it_was_waiting_at_send() {
    let mut talk = warm("");
    talk.now = T0 + 5_000;
    talk.filter.next_sync(talk.moment()).unwrap();
    talk.now = T0 + 7_000;
    let answer = SyncResponse {
        epoch: "e1".into(),
        revision: 1,
        lease_ms: 6_000,
        invalidation: Invalidation::Changed(vec![]),
    };
    assert_eq!(talk.filter.sync_ended(Ok(answer), talk.moment()), Some(Ok(())));
    talk.now = T0 + 10_999;
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *");
    talk.now = T0 + 11_000;
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
}

#[test]
fn a_verdict_is_remembered_for_its_own_time_at_most() {
    let mut talk = warm(r#","cache":{"active_ttl_ms":4000}"#);
    talk.now = T0 + 3_999;
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *");
    talk.now = T0 + 4_000;
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
}

#[test]
fn a_wrong_key_is_remembered_for_a_shorter_time() {
    let mut talk = warm("");
    assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
    talk.ask();
    assert_eq!(talk.answer(2, Some(200), &[INACTIVE])[0].1, "401 key_invalid");
    assert_eq!(talk.get("/api/insights/", "phx_b"), "401 key_invalid");
    talk.now = T0 + 2_000;
    assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
}

#[test]
fn an_invalidation_is_applied_before_the_cursor_that_acknowledges_it_moves() {
    let mut talk = warm("");
    talk.sync(2, Invalidation::Changed(vec![KeyDigest::of_value(VALID)]));
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
    assert_eq!(talk.sync(2, Invalidation::Changed(vec![])).cursor, Some(2));

    let mut talk = warm("");
    talk.sync(2, Invalidation::Changed(vec![KeyDigest::of_value("phx_another")]));
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *");
    talk.sync(9, Invalidation::Reset);
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
}

#[test]
fn an_answer_older_than_the_cursor_is_not_remembered() {
    let mut talk = warm("");
    talk.get("/api/insights/", "phx_b");
    talk.ask();
    talk.sync(2, Invalidation::Changed(vec![KeyDigest::of_value("phx_b")]));
    talk.now += 100;
    assert_eq!(
        talk.answer(2, Some(200), &[&active("*")])[0].1,
        "for u1 *",
        "the lookup was sent after the request arrived"
    );
    assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
}

#[test]
fn a_request_after_the_callout_was_sent_is_served_only_if_the_lease_covers_the_answer() {
    let mut talk = warm("");
    talk.get("/api/insights/", "phx_b");
    talk.ask();
    assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
    assert_eq!(talk.answer(2, Some(200), &[&active("*")]).len(), 2, "revision and cursor are 1");

    talk.get("/api/insights/", "phx_c");
    talk.ask();
    talk.sync(2, Invalidation::Changed(vec![]));
    assert_eq!(talk.get("/api/insights/", "phx_c"), "wait");
    assert_eq!(talk.answer(3, Some(200), &[&active("*")]).len(), 1);
    assert_eq!(talk.ask(), Some(1));
    assert_eq!(talk.answer(4, Some(200), &[&active("*")]).len(), 1);
    assert_eq!(talk.ask(), None);
}

#[test]
fn a_request_after_the_callout_was_sent_is_not_served_by_the_answer_if_the_key_has_expired() {
    for (answered_after_ms, served) in [(299, 2), (300, 1)] {
        let mut talk = warm("");
        talk.get("/api/insights/", "phx_b");
        talk.ask();
        assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
        talk.now += answered_after_ms;
        let outcomes = talk.answer(2, Some(200), &[&active("*").replace("null", "300")]);
        assert_eq!(outcomes.len(), served, "after {answered_after_ms} ms: {outcomes:?}");
        assert_eq!(talk.ask(), (served == 1).then_some(1));
    }
}

#[test]
fn an_inactive_answer_removes_an_active_verdict_even_without_a_lease() {
    let mut talk = warm("");
    talk.now = T0 + 6_000;
    talk.get("/api/insights/", VALID);
    talk.ask();
    talk.answer(2, Some(200), &[INACTIVE]);
    talk.sync(1, Invalidation::Changed(vec![]));
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
}

#[test]
fn answers_that_contradict_the_history_are_refused() {
    let answer = |epoch: &str, revision, invalidation| SyncResponse {
        epoch: epoch.into(),
        revision,
        lease_ms: 6_000,
        invalidation,
    };
    for contradiction in [
        answer("e1", 0, Invalidation::Changed(vec![])),
        answer("e1", 0, Invalidation::Reset),
        answer("e2", 5, Invalidation::Changed(vec![])),
    ] {
        let mut talk = warm("");
        talk.now = T0 + 3_000;
        talk.filter.next_sync(talk.moment()).unwrap();
        let ended = talk.filter.sync_ended(Ok(contradiction), talk.moment());
        assert_eq!(ended, Some(Err(NoAnswer::Contradiction)));
        assert_eq!(talk.get("/api/insights/", VALID), "wait", "nothing that was known counts");
        talk.now += 100;
        let request = talk.sync(0, Invalidation::Reset);
        assert_eq!((request.epoch, request.cursor), (None, None));
        assert_eq!(talk.get("/api/insights/", VALID), "wait", "the memory is empty");
    }
    let mut talk = warm("");
    talk.filter.next_sync(talk.moment()).unwrap();
    let ended = talk.filter.sync_ended(Ok(answer("another", 0, Invalidation::Reset)), talk.moment());
    assert_eq!(ended, Some(Ok(())));
    assert_eq!(talk.get("/api/insights/", VALID), "wait", "another epoch comes as a reset");
}

#[test]
fn after_a_quiet_answer_comes_a_short_pause_and_after_failures_a_growing_one() {
    let mut talk = warm("");
    assert_eq!(talk.filter.sync_due_in_ms(talk.moment()), Some(0), "at once after a change");
    talk.sync(1, Invalidation::Changed(vec![]));
    let pause = talk.filter.sync_due_in_ms(talk.moment()).unwrap();
    assert!((50..=100).contains(&pause), "{pause}");
    let mut longest = 0;
    for _ in 0..100 {
        talk.now += talk.filter.sync_due_in_ms(talk.moment()).unwrap();
        talk.filter.next_sync(talk.moment()).unwrap();
        assert_eq!(
            talk.filter.sync_ended(Err(NoAnswer::Timeout), talk.moment()),
            Some(Err(NoAnswer::Timeout))
        );
        longest = longest.max(talk.filter.sync_due_in_ms(talk.moment()).unwrap());
    }
    assert!((3_000..=5_000).contains(&longest), "{longest}");
}

#[test]
fn a_stale_verdict_is_used_as_long_as_configured_and_only_during_an_outage() {
    let stale = |settings: &str, after_ms| {
        let mut talk = warm(settings);
        talk.now = T0 + 6_000 + after_ms;
        assert_eq!(talk.get("/api/insights/", VALID), "wait");
        talk.ask();
        talk.answer(2, None, &[])[0].1.clone()
    };
    let allowed = r#","on_unavailable":{"serve_stale_s":30}"#;
    assert_eq!(stale("", 0), "503 key_service_unavailable");
    assert_eq!(stale(allowed, 0), "for u1 *");
    assert_eq!(stale(allowed, 29_999), "for u1 *");
    assert_eq!(stale(allowed, 30_000), "503 key_service_unavailable");
}

#[test]
fn full_lookups_alone_allow_no_stale_verdict() {
    let mut talk = warm(r#","on_unavailable":{"serve_stale_s":30},"lookups":{"max_waiters":1}"#);
    talk.now = T0 + 6_000;
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
    assert_eq!(talk.get("/api/insights/", VALID), "503 lookups_full", "the key service answers");
    talk.ask();
    assert_eq!(talk.answer(2, None, &[])[0].1, "for u1 *");
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *", "it did not answer the latest verify");
    talk.ask();
    talk.answer(3, Some(200), &[&active("*")]);
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
    assert_eq!(talk.get("/api/insights/", VALID), "503 lookups_full", "it answers again");
}

#[test]
fn a_sync_from_an_outage_is_given_up_and_its_end_changes_nothing() {
    let mut talk = warm("");
    talk.now = T0 + 6_000;
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
    talk.ask();
    let lost = talk.filter.next_sync(talk.moment()).unwrap();
    assert_eq!(lost.used.len(), 1);
    talk.now += 100;
    talk.answer(2, None, &[]);
    talk.get("/api/insights/", VALID);
    talk.ask();
    talk.now += 100;
    talk.answer(3, Some(200), &[INACTIVE]);
    let due = talk.filter.sync_due_in_ms(talk.moment()).unwrap();
    assert!(due <= 200, "{due}");
    assert_eq!(talk.filter.sync_ended(Err(NoAnswer::Timeout), talk.moment()), None, "no change to report");
    assert_eq!(talk.filter.sync_due_in_ms(talk.moment()), Some(due));
    talk.now += due;
    assert_eq!(talk.sync(1, Invalidation::Changed(vec![])).used, lost.used, "the report was lost with it");
}

#[test]
fn use_is_reported_with_the_next_sync() {
    let mut talk = warm("");
    let used = talk.sync(1, Invalidation::Changed(vec![])).used;
    assert_eq!(used.into_iter().collect::<Vec<_>>(), [("k1".to_owned(), (T0 + 1_000_000) / 1_000)]);
}

#[test]
fn no_answer_is_unavailable_for_everyone_and_is_not_remembered() {
    for (status, verdicts) in [(None, &[][..]), (Some(500), &[INACTIVE][..]), (Some(200), &[][..])] {
        let mut talk = talk("");
        assert_eq!(talk.get("/api/insights/", VALID), "wait");
        assert_eq!(talk.get("/api/insights/", VALID), "wait");
        talk.ask();
        let unavailable = || "503 key_service_unavailable".to_owned();
        assert_eq!(talk.answer(0, status, verdicts), [(0, unavailable()), (1, unavailable())]);
        assert_eq!(talk.get("/api/insights/", VALID), "wait", "asked again at once");
        talk.ask();
        assert_eq!(talk.answer(1, Some(200), &[&active("*")]), [(2, "for u1 *".to_owned())]);
    }
}

#[test]
fn a_lookup_that_cannot_be_sent_is_unavailable() {
    let mut talk = talk("");
    talk.get("/api/insights/", VALID);
    let digests = talk.filter.next_lookups().unwrap().digests;
    let steps = talk.filter.lookups_failed(&digests, talk.moment());
    assert_eq!(steps.len(), 1);
    assert_eq!(print(&steps[0].1), "503 key_service_unavailable");
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
}

#[test]
fn an_answer_serves_each_request_once() {
    let mut talk = talk("");
    talk.get("/api/insights/", VALID);
    talk.ask();
    assert_eq!(talk.answer(0, Some(200), &[&active("*")]).len(), 1);
    for ended_before in [0, 9] {
        let read = |_| panic!("no response is read for a callout without requests");
        assert_eq!(talk.filter.lookups_ended(CalloutId(ended_before), read, talk.moment()), None);
    }
}

#[test]
fn a_request_that_left_is_not_answered_and_the_others_are() {
    let mut talk = talk("");
    (0..3).for_each(|_| assert_eq!(talk.get("/api/insights/", VALID), "wait"));
    talk.ask();
    talk.filter.leave(&KeyDigest::of_value(VALID), StreamId(0));
    let streams: Vec<u32> = talk.answer(0, Some(200), &[&active("*")]).iter().map(|step| step.0).collect();
    assert_eq!(streams, [1, 2]);
}

#[test]
fn requests_over_the_limits_are_unavailable_unless_their_key_is_cached() {
    let mut talk = warm(r#","lookups":{"max_digests":1,"max_waiters":2}"#);
    assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
    assert_eq!(talk.get("/api/insights/", "phx_c"), "wait");
    assert_eq!(talk.get("/api/insights/", "phx_b"), "503 lookups_full");
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *");
    assert_eq!((talk.ask(), talk.ask()), (Some(1), None), "one at a time");
    assert_eq!(talk.answer(2, Some(200), &[INACTIVE]), [(3, "401 key_invalid".to_owned())]);
    assert_eq!(talk.ask(), Some(1));
}

#[test]
fn an_evicted_request_is_answered_in_the_next_turn() {
    let mut talk = warm(r#","lookups":{"max_waiters":2}"#);
    assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
    assert_eq!(talk.get("/api/insights/", "phx_c"), "wait");
    talk.from = 2;
    assert_eq!(talk.get("/api/insights/", "phx_d"), "wait");
    assert_eq!(talk.refused(), [(4, "503 lookups_full".to_owned())]);
    assert_eq!(talk.refused(), []);
    assert_eq!(talk.get("/api/insights/", "phx_e"), "503 lookups_full", "each has one");
    talk.from = 3;
    talk.filter.leave(&KeyDigest::of_value("phx_b"), StreamId(3));
    assert_eq!(talk.get("/api/insights/", "phx_e"), "wait", "room was left");
    assert_eq!(talk.refused(), []);
    assert_eq!(talk.ask(), Some(2));
    talk.answer(2, Some(200), &[INACTIVE, INACTIVE]);
}

#[test]
fn an_evicted_request_may_leave_before_its_answer() {
    let mut talk = warm(r#","lookups":{"max_waiters":2}"#);
    assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
    assert_eq!(talk.get("/api/insights/", "phx_c"), "wait");
    talk.from = 2;
    assert_eq!(talk.get("/api/insights/", "phx_d"), "wait");
    talk.filter.leave(&KeyDigest::of_value("phx_c"), StreamId(4));
    assert_eq!(talk.refused(), []);
}

#[test]
fn lookups_that_cannot_be_sent_during_an_outage_do_not_wait_for_another_timeout() {
    let mut talk = warm(r#","lookups":{"max_digests":1}"#);
    (0..3).for_each(|n| assert_eq!(talk.get("/api/insights/", &format!("phx_{n}")), "wait"));
    assert_eq!(talk.ask(), Some(1));
    assert_eq!(talk.refused(), [], "the key service may just be slow");
    talk.answer(2, None, &[]);
    assert_eq!(talk.ask(), Some(1));
    assert_eq!(talk.refused(), [(5, "503 key_service_unavailable".to_owned())]);
    assert_eq!(talk.get("/api/insights/", "phx_2"), "wait");
    assert_eq!(talk.refused(), [], "no other verify has failed");
}

#[test]
fn preflights_pass_only_where_they_are_configured_to() {
    let preflight = [("origin", "https://a"), ("access-control-request-method", "GET")];
    assert_eq!(talk("").request("OPTIONS", "/api/projects/", &preflight), "401 key_missing");
    let mut talk = talk(r#","cors_preflight":"forward""#);
    assert_eq!(talk.request("OPTIONS", "/api/projects/", &preflight), "public");
    assert_eq!(talk.request("OPTIONS", "/api/projects/", &preflight[..1]), "401 key_missing");
    assert_eq!(talk.request("OPTIONS", "/x/../api/", &preflight), "400 ambiguous_request");
}

#[test]
fn an_encoded_slash_passes_only_where_a_rule_accepts_it() {
    let preflight = [("origin", "https://a"), ("access-control-request-method", "GET")];
    let mut talk = talk(
        r#","cors_preflight":"forward","routes":[
        {"path":"/files/{name}","scope":"file","encoded_slashes":["name"]},{"path":"/open/{name}","public":true}]"#,
    );
    assert_eq!(talk.get("/files/a%2Fb", VALID), "wait");
    assert_eq!(talk.request("OPTIONS", "/files/a%2Fb", &preflight), "public");
    assert_eq!(talk.request("OPTIONS", "/open/a%2Fb", &preflight), "400 ambiguous_request");
    assert_eq!(talk.get("/open/a%2Fb", VALID), "400 ambiguous_request");
    assert_eq!(talk.get("/files/a%2F..", VALID), "400 ambiguous_request");
}

#[test]
fn the_edge_api_gets_the_id_of_the_edge() {
    assert_eq!(talk("").filter.id(), "e1");
}

#[test]
fn metrics_count_leases_lookups_and_cached_verdicts() {
    let mut talk = talk("");
    for _ in 0..3 {
        assert_eq!(talk.get("/api/projects/", VALID), "wait");
    }
    assert_eq!(talk.ask(), Some(1));
    assert_eq!(talk.numbers(), ["cache_misses 3", "lookups 1", "lookups_joined 2", "lookups_waiting 3"]);

    talk.sync(1, Invalidation::Reset);
    let served = talk.answer(0, Some(200), &[&active("*")]);
    assert_eq!(served.len(), 3);
    talk.now += 1_000;
    assert_eq!(talk.get("/api/projects/", VALID), "for u1 *");
    assert_eq!(
        talk.numbers(),
        [
            "cache_active 1",
            "cache_hits 1",
            "cursor_lag 0",
            "lease_age_ms 1000",
            "leases_gained 1",
            "leases_held 1",
            "lookups_waiting -3",
            "requests_forwarded 4",
            "resets 1",
            "verify_ms 0",
        ]
    );

    talk.now += 5_000;
    assert_eq!(talk.numbers(), ["leases_held -1", "leases_lost 1"]);
}
