use std::cell::Cell;

use super::*;
use crate::answer;
use crate::config::Config;
use crate::headers::{HeaderPairs, serialise};

const T0: Millis = Millis(100);
const VALID: &str = "phx_1234567890abcdef";

/// An edge, and requests and answers for it, told as a conversation.
struct Talk {
    edge: Edge,
    now: Millis,
    streams: Cell<u32>,
    calls: Cell<u32>,
}

fn talk(settings: &str) -> Talk {
    let json = format!(r#"{{"key_service":{{"cluster":"k"}}{settings}}}"#);
    let config = Config::read(json.as_bytes()).unwrap();
    let edge = Edge::new(config.policy, config.cache, config.lookups);
    Talk { edge, now: T0, streams: Cell::new(0), calls: Cell::new(0) }
}

impl Talk {
    fn request(&mut self, method: &str, path: &str, extra: &[(&str, &str)]) -> String {
        let mut headers: Vec<(&str, &[u8])> =
            vec![(":method", method.as_bytes()), (":path", path.as_bytes()), (":authority", b"a")];
        headers.extend(extra.iter().map(|(name, value)| (*name, value.as_bytes())));
        let block = serialise(&headers);
        let head = RequestHead::read(HeaderPairs::new(&block).unwrap(), &self.edge.policy.identity_headers.0);
        let stream = StreamId(self.streams.replace(self.streams.get() + 1));
        print(&self.edge.arrive(head.as_ref().map_err(|error| *error), stream, self.now))
    }

    fn get(&mut self, path: &str, key: &str) -> String {
        self.request("GET", path, &[("authorization", &format!("Bearer {key}"))])
    }

    /// Sends the next question and returns how many digests it asks about.
    fn ask(&mut self) -> Option<usize> {
        let digests = self.edge.next_question()?;
        let asked = digests.len();
        self.edge.asked(CallId(self.calls.replace(self.calls.get() + 1)), digests, self.now);
        Some(asked)
    }

    fn answer(&mut self, call: u32, status: Option<u16>, verdicts: &[&str]) -> Vec<(u32, String)> {
        let body = format!(r#"{{"log":"l","revision":1,"verdicts":[{}]}}"#, verdicts.join(","));
        let (steps, _) =
            self.edge.answered(CallId(call), |asked| answer::read(status, body.as_bytes(), asked));
        steps.iter().map(|(stream, step)| (stream.0, print(step))).collect()
    }
}

fn print(step: &Step) -> String {
    match step {
        Step::ForwardPublic => "public".to_owned(),
        Step::Forward(grant) => format!("for {} {}", grant.holder().user_id, grant.holder().scopes_text),
        Step::Reply(reply) => format!("{} {}", reply.status, reply.reason),
        Step::Wait(_) => "wait".to_owned(),
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

#[test]
fn a_known_key_is_answered_from_memory_until_its_time_since_the_question_is_over() {
    let mut talk = talk("");
    talk.get("/api/insights/", VALID);
    talk.ask();
    talk.now = T0.plus(900);
    talk.answer(0, Some(200), &[&active("*")]);
    talk.now = T0.plus(4_999);
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *");
    talk.now = T0.plus(5_000);
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
    assert_eq!(talk.ask(), Some(1));
}

#[test]
fn a_wrong_key_is_remembered_for_a_shorter_time() {
    let mut talk = talk("");
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
    talk.ask();
    assert_eq!(talk.answer(0, Some(200), &[INACTIVE]), [(0, "401 key_invalid".to_owned())]);
    assert_eq!(talk.get("/api/insights/", VALID), "401 key_invalid");
    talk.now = T0.plus(2_000);
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
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
fn a_question_that_cannot_be_sent_is_unavailable() {
    let mut talk = talk("");
    talk.get("/api/insights/", VALID);
    let digests = talk.edge.next_question().unwrap();
    let steps = talk.edge.not_asked(&digests);
    assert_eq!(steps.len(), 1);
    assert_eq!(print(&steps[0].1), "503 key_service_unavailable");
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
}

#[test]
fn an_answer_serves_nobody_twice() {
    let mut talk = talk("");
    talk.get("/api/insights/", VALID);
    talk.ask();
    assert_eq!(talk.answer(0, Some(200), &[&active("*")]).len(), 1);
    assert_eq!(talk.answer(0, Some(200), &[&active("*")]), []);
    assert_eq!(talk.answer(9, None, &[]), []);
}

#[test]
fn one_who_left_is_not_answered_and_the_others_are() {
    let mut talk = talk("");
    (0..3).for_each(|_| assert_eq!(talk.get("/api/insights/", VALID), "wait"));
    talk.ask();
    talk.edge.leave(&KeyDigest::of_value(VALID), StreamId(0));
    let streams: Vec<u32> = talk.answer(0, Some(200), &[&active("*")]).iter().map(|step| step.0).collect();
    assert_eq!(streams, [1, 2]);
}

#[test]
fn what_exceeds_the_bounds_is_unavailable_and_known_keys_are_not_concerned() {
    let mut talk = talk(r#","lookups":{"max_digests":1,"max_waiters":2}"#);
    talk.get("/api/insights/", VALID);
    talk.ask();
    talk.answer(0, Some(200), &[&active("*")]);
    assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
    assert_eq!(talk.get("/api/insights/", "phx_c"), "503 lookups_full");
    assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
    assert_eq!(talk.get("/api/insights/", "phx_b"), "503 lookups_full");
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *");
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
