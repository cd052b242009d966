//! Costs of a request and of a cached key; metrics.

use crate::host::{Host, Outcome, Setup};
use crate::{VALID, callouts, forwarded, sync, verdicts, verify, warm};

#[test]
fn metrics_are_recorded_about_once_a_second_and_the_reason_of_a_denial_is_filter_state() {
    let mut host = warm();
    let accepted = host.get("/api/projects/", &[("authorization", VALID)]);
    let denied = host.get("/api/projects/", &[]);
    assert_eq!(host.filter_state(accepted, "edge_key_auth.key_id"), None, "a header has it");
    assert_eq!(host.filter_state(denied, "edge_key_auth.reason").as_deref(), Some("key_missing"));
    assert_eq!(host.metric("requests_forwarded"), 0);
    host.pass(1_000);
    host.tick();
    for (name, value) in [
        ("requests_forwarded", 2),
        ("requests_denied_key_missing", 1),
        ("cache_hits", 1),
        ("cache_misses", 1),
        ("cache_active", 1),
        ("lookups", 1),
        ("leases_gained", 1),
        ("leases_held", 1),
        ("resets", 1),
    ] {
        assert_eq!(host.metric(name), value, "{name}");
    }
    host.pass(6_000);
    host.tick();
    assert_eq!((host.metric("leases_lost"), host.metric("leases_held")), (1, 0));
}

/// What a request costs over its whole life.
struct Cost {
    host_calls: String,
    allocations: u64,
    fuel: u64,
}

/// A configuration with each kind of rule.
const RULES: &str = r#"{"key_service":{"cluster":"k"},"routes":[
    {"path":"/decide/","public":true},
    {"path":"/api/projects/{project_id}/insights/{*rest}","scope":"insight","project":"project_id"},
    {"path":"/api/projects/{project_id}/cohorts/{*rest}","scope":"cohort","mode":"shadow"},
    {"path":"/flags/","scope":"flag","bearer_prefixes":["phs_"]}]}"#;

/// What a client and Envoy send with every request.
const COMMON: [(&str, &[u8]); 4] = [
    ("user-agent", b"curl/8.5.0"),
    ("accept", b"*/*"),
    ("x-forwarded-proto", b"http"),
    ("x-request-id", b"7a5b0d5e-9d0c-4bd5-8d0e-0d1f8f1f6f5a"),
];

const INSIGHTS: &str = "/api/projects/7/insights/";
const COHORTS: &str = "/api/projects/7/cohorts/";

/// The credential of a generated key.
fn bearer(key: u8) -> Vec<u8> {
    format!("Bearer {}", protocol::ApiKey::from_entropy([key; 32]).reveal()).into_bytes()
}

const GRANTED: u8 = 1;
const LACKS_SCOPE: u8 = 2;
const RESTRICTED: u8 = 3;
const REVOKED: u8 = 4;

/// A request's header with this credential.
fn with(credential: &[u8]) -> [(&'static str, &[u8]); 1] {
    [("authorization", credential)]
}

/// An edge that holds a lease and knows four keys.
fn edge_that_knows_keys(module: std::path::PathBuf) -> Host {
    let setup = Setup { module, ..Setup::default() };
    let mut host = Host::start_as(&setup, RULES).unwrap_or_else(|log| panic!("{log:?}"));
    let active = |key: &str, scope: &str, restrictions: &str| {
        format!(
            r#"{{"status":"active","key_id":"{key}","user_id":"01a2080c-8f10-72cd-994a-cc603b313238","scopes":["{scope}"],"restrictions":{restrictions},"expires_in_ms":null}}"#
        )
    };
    let answers = [
        active("01a2080f-4035-758f-a00a-5d3c3a1a9d01", "insight:read", "{}"),
        active("01a2080f-4035-758f-a00a-5d3c3a1a9d02", "flag:read", "{}"),
        active("01a2080f-4035-758f-a00a-5d3c3a1a9d03", "insight:read", r#"{"projects":[7]}"#),
        r#"{"status":"inactive"}"#.to_owned(),
    ];
    let keys = [GRANTED, LACKS_SCOPE, RESTRICTED, REVOKED];
    let requests = keys.map(|key| host.get(INSIGHTS, &with(&bearer(key))));
    host.turn();
    let (verifies, syncs) = callouts(&mut host);
    host.answer(syncs[0].id, "200", &sync(1, r#""reset":true"#));
    host.answer(verifies[0].id, "200", &verdicts(&answers.each_ref().map(String::as_str)));
    requests.into_iter().for_each(|request| host.end(request));
    host.take_callouts();
    host
}

/// The outcome of a request, in short.
fn in_short(outcome: Outcome) -> String {
    match outcome {
        Outcome::Forwarded(_) => "forwarded".to_owned(),
        Outcome::Held => "held".to_owned(),
        Outcome::Replied { status, details, .. } => format!("{status} {details}"),
    }
}

/// What a request costs in two edges, which run the finished module and the one that counts its allocations.
struct Edges([Host; 2]);

impl Edges {
    fn new() -> Self {
        Edges([Setup::default().module, test_stack::paths::counting_wasm()].map(edge_that_knows_keys))
    }

    /// The cost of a request that a first one like it has prepared.
    fn cost(&mut self, path: &str, headers: &[(&str, &[u8])], ends: &str) -> Cost {
        let headers = [&COMMON[..], headers].concat();
        let live = |host: &mut Host| {
            let request = host.get(path, &headers);
            assert_eq!(in_short(host.outcome(request)), ends, "{path}");
            host.end(request);
        };
        self.cost_of(live)
    }

    fn cost_of(&mut self, mut act: impl FnMut(&mut Host)) -> Cost {
        let Edges([finished, counting]) = self;
        act(finished);
        act(counting);
        let (calls, fuel) = finished.cost(&mut act);
        let before = counting.allocations();
        act(counting);
        let calls: Vec<String> = calls.into_iter().map(|(name, times)| format!("{name} {times}")).collect();
        Cost { host_calls: calls.join(", "), allocations: counting.allocations() - before, fuel }
    }

    fn costs(&mut self) -> Vec<(&'static str, Cost)> {
        let [granted, lacks_scope, restricted, revoked] =
            [GRANTED, LACKS_SCOPE, RESTRICTED, REVOKED].map(bearer);
        let forged: [(&str, &[u8]); 3] =
            [("authorization", &granted), ("x-auth-user-id", b"root"), ("X_Auth_Scopes", b"*")];
        let forwarded = "forwarded";
        // A key that is unknown each time is held, so its lookup is answered here.
        let mut unknown = 100;
        let mut lookup = |host: &mut Host| {
            unknown += 1;
            let request = host.get(INSIGHTS, &[&COMMON[..], &with(&bearer(unknown))].concat());
            host.turn();
            let callout = verify(host);
            host.answer(callout.id, "200", &verdicts(&[r#"{"status":"inactive"}"#]));
            assert_eq!(in_short(host.outcome(request)), "401 key_invalid");
            host.end(request);
        };
        vec![
            ("public", self.cost("/decide/?v=3", &[], forwarded)),
            ("public, with a key", self.cost("/decide/?v=3", &with(&granted), forwarded)),
            ("granted", self.cost(INSIGHTS, &with(&granted), forwarded)),
            ("granted, restricted key", self.cost(INSIGHTS, &with(&restricted), forwarded)),
            ("granted, forged identity", self.cost(INSIGHTS, &forged, forwarded)),
            ("400 path", self.cost("/decide/../api/", &[], "400 ambiguous_request")),
            ("401 no key", self.cost(INSIGHTS, &[], "401 key_missing")),
            ("401 no key by its form", self.cost(INSIGHTS, &with(b"Bearer phc_a"), "401 key_invalid")),
            ("401 revoked key", self.cost(INSIGHTS, &with(&revoked), "401 key_invalid")),
            ("403 scope", self.cost(INSIGHTS, &with(&lacks_scope), "403 scope_missing")),
            ("403 project", self.cost("/api/projects/8/insights/", &with(&restricted), "403 key_restricted")),
            ("403 no rule", self.cost("/api/elsewhere/7", &with(&granted), "403 scope_missing")),
            ("shadow, no key", self.cost(COHORTS, &[], forwarded)),
            ("shadow, scope", self.cost(COHORTS, &with(&granted), forwarded)),
            ("left to the upstream", self.cost("/flags/", &with(b"Bearer phs_secret"), forwarded)),
            ("held, then the client leaves", self.cost(INSIGHTS, &with(b"Bearer phx_a"), "held")),
            ("held, then 401", self.cost_of(&mut lookup)),
        ]
    }
}

/// Fuel is about one unit an instruction, and the same on every machine. It depends a little on the compiler, so it may
/// differ by a twentieth from what was measured last. A change that makes requests dearer or cheaper changes these figures.
const FUEL: &[(&str, u64)] = &[
    ("public", 11_614),
    ("public, with a key", 14_447),
    ("granted", 20_960),
    ("granted, restricted key", 25_675),
    ("granted, forged identity", 31_738),
    ("400 path", 49_050),
    ("401 no key", 15_358),
    ("401 no key by its form", 16_925),
    ("401 revoked key", 20_561),
    ("403 scope", 23_259),
    ("403 project", 76_599),
    ("403 no rule", 17_958),
    ("shadow, no key", 14_545),
    ("shadow, scope", 22_234),
    ("left to the upstream", 13_349),
    ("held, then the client leaves", 68_673),
    ("held, then 401", 183_544),
];

/// Host calls are the largest cost of a request: each takes several hundred instructions' time in Envoy.
#[test]
fn each_outcome_costs_the_host_calls_allocations_and_instructions_that_were_reviewed() {
    let costs = Edges::new().costs();
    let lines: Vec<String> = costs
        .iter()
        .map(|(what, Cost { host_calls, allocations, .. })| {
            format!("{what:28} {allocations:3} allocations, {host_calls}")
        })
        .collect();
    insta::assert_snapshot!("costs", lines.join("\n"));
    let measured: Vec<(&str, u64)> = costs.iter().map(|(what, cost)| (*what, cost.fuel)).collect();
    let is_near = |(name, now): (&str, u64), (known, then): (&str, u64)| {
        name == known && now.abs_diff(then) <= then / 20
    };
    let are_near = measured.iter().zip(FUEL).all(|(now, then)| is_near(*now, *then));
    assert!(measured.len() == FUEL.len() && are_near, "the fuel is now {measured:#?}");
}

/// Envoy compiles the module for each of its threads, and starts it again for each configuration.
#[test]
fn the_module_is_small_and_starts_fast() {
    const BYTES: u64 = 573_000;
    const FUEL: u64 = 34_000_000;
    let bytes = std::fs::metadata(Setup::default().module).unwrap().len();
    let fuel = Host::start(r#"{"key_service":{"cluster":"k"},"routes":"posthog"}"#).unwrap().fuel_used();
    println!("{bytes} bytes; {fuel} units of fuel to start");
    assert!(bytes <= BYTES, "{bytes} bytes");
    assert!(fuel <= FUEL, "{fuel} units of fuel");
}

/// The figure of `docs/configuration.md` for one verdict in the cache.
#[test]
fn a_remembered_key_takes_no_more_memory_than_stated() {
    const KEYS: usize = 20_000;
    const STATED_BYTES: usize = 300;
    let mut host = warm();
    host.take_callouts();
    let active = |key: usize| {
        format!(
            r#"{{"status":"active","key_id":"01a2080f-4035-758f-a00a-{key:012}","user_id":"01a2080c-8f10-72cd-994a-cc603b313238","scopes":["insight:read","feature_flag:write"],"expires_in_ms":null}}"#
        )
    };
    let before = host.memory_bytes();
    for batch in 0..KEYS / 250 {
        let keys: Vec<usize> = (0..250).map(|n| batch * 250 + n).collect();
        let requests: Vec<u32> = keys
            .iter()
            .map(|key| {
                host.get("/api/insights/", &[("authorization", format!("Bearer phx_{key}").as_bytes())])
            })
            .collect();
        host.turn();
        let callout = verify(&mut host);
        let answers: Vec<String> = keys.iter().map(|&key| active(key)).collect();
        host.answer(callout.id, "200", &verdicts(&answers.iter().map(String::as_str).collect::<Vec<_>>()));
        requests.into_iter().for_each(|request| host.end(request));
    }
    let request = host.get("/api/insights/", &[("authorization", b"Bearer phx_7")]);
    forwarded(host.outcome(request));
    let each = (host.memory_bytes() - before) / KEYS;
    println!("{each} bytes a key");
    assert!((100..=STATED_BYTES).contains(&each), "{each} bytes a key");
}
