//! Reads and validates a [`Config`].

use serde_json::Value;

use super::fields::{Fields, Problems};
use super::header_names::{header_policy, identity_headers};
use super::modes::filter_mode;
use super::rules::routes;
use super::structs::struct_to_json;
use super::{Config, KeyService, Policy, Problem};
use crate::cache::CacheLimits;
use crate::lookup::LookupLimits;
use crate::reply::ErrorBodies;
use crate::route::PathCase;

/// A day, in milliseconds: the upper limit of every duration here.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl Config {
    /// Reads a configuration from JSON text or from a serialised `google.protobuf.Struct`.
    ///
    /// # Errors
    /// All problems, not only the first one.
    pub fn read(bytes: &[u8]) -> Result<Config, Vec<Problem>> {
        let value = match (serde_json::from_slice(bytes), struct_to_json(bytes)) {
            (Ok(value), _) | (Err(_), Some(value)) => value,
            (Err(error), None) => {
                let message = format!("is neither JSON ({error}) nor a google.protobuf.Struct");
                return Err(vec![Problem { path: "configuration".to_owned(), message }]);
            }
        };
        let problems = Problems::default();
        let mut fields = Fields::of(value, String::new(), &problems);
        let key_service = key_service(&mut fields);
        let (mode, mode_warning) = filter_mode(&mut fields);
        let path_case = match fields.take_choice("path_case", &["sensitive", "insensitive"]) {
            Some(1) => PathCase::Insensitive,
            _ => PathCase::Sensitive,
        };
        let (routes, route_warnings) = routes(&mut fields, path_case, mode, &problems);
        let realm = realm(&mut fields);
        let error_bodies = match fields.take_choice("error_bodies", &["documented", "posthog"]) {
            Some(1) => ErrorBodies::Posthog,
            _ => ErrorBodies::Documented,
        };
        let forward_preflights =
            fields.take_choice("cors_preflight", &["authenticate", "forward"]) == Some(1);
        let identity_headers = identity_headers(&mut fields, routes.leaves_restrictions_to_upstream());
        let header_policy = header_policy(&mut fields, &identity_headers, &problems);
        let hide_credentials = fields.take_bool("hide_credentials").unwrap_or(false);
        let sync_wait_ms = sync_wait_ms(&mut fields);
        let serve_stale_ms = serve_stale_ms(&mut fields, sync_wait_ms.is_some());
        let cache = cache(&mut fields, sync_wait_ms.is_some());
        let warnings = mode_warning
            .into_iter()
            .chain(sync_warning(sync_wait_ms, &cache))
            .chain(route_warnings)
            .collect();
        let lookups = lookups(&mut fields);
        fields.finish();
        let policy = Policy {
            mode,
            routes,
            realm,
            error_bodies,
            forward_preflights,
            identity_headers,
            header_policy,
            hide_credentials,
            sync_wait_ms,
            serve_stale_ms,
        };
        match problems.into_vec() {
            problems if problems.is_empty() => Ok(Config { key_service, policy, cache, lookups, warnings }),
            problems => Err(problems),
        }
    }
}

fn key_service(fields: &mut Fields<'_>) -> KeyService {
    let mut fields = fields.take_fields("key_service");
    let cluster = fields.take_string("cluster").unwrap_or_default();
    if cluster.is_empty() {
        fields.problem("cluster", "is required: the name of the Envoy cluster of the key service's edge API");
    }
    let authority = fields.take_string("authority").unwrap_or_else(|| authority_of(&cluster));
    if !authority.bytes().all(|b| b.is_ascii_graphic()) {
        fields.problem("authority", "must be a host name");
    }
    let timeout_ms = fields.take_number("timeout_ms", 1..=60_000).unwrap_or(1_000) as u32;
    let token_env = fields.take_string("token_env").unwrap_or_else(|| "EDGE_TOKEN".to_owned());
    if token_env.is_empty() || token_env.contains(['=', '\0']) {
        fields.problem("token_env", "must be the name of an environment variable");
    }
    fields.finish();
    KeyService { cluster, authority, timeout_ms, token_env }
}

/// The authority of a cluster: its name, or the host and the port in a name that Istio gives,
/// `outbound|PORT|SUBSET|HOST`. Servers refuse `|` in an authority.
fn authority_of(cluster: &str) -> String {
    match cluster.split('|').collect::<Vec<_>>()[..] {
        ["outbound", port, _, host] => format!("{host}:{port}"),
        _ => cluster.to_owned(),
    }
}

fn realm(fields: &mut Fields<'_>) -> String {
    let realm = fields.take_string("realm").unwrap_or_else(|| "api".to_owned());
    let quotable = |b: u8| (b == b' ' || b.is_ascii_graphic()) && b != b'"' && b != b'\\';
    if !realm.bytes().all(quotable) {
        fields.problem("realm", "must be printable ASCII without quotes and backslashes");
    }
    realm
}

/// `None` for `off`, which YAML may turn into `false`.
fn sync_wait_ms(fields: &mut Fields<'_>) -> Option<u64> {
    match fields.take("sync") {
        Some(Value::Bool(false)) => None,
        Some(Value::String(text)) if text == "off" => None,
        value => {
            let mut fields = fields.within("sync", value);
            let wait_ms = fields.take_number("wait_ms", 0..=60_000).unwrap_or(2_000);
            fields.finish();
            Some(wait_ms)
        }
    }
}

/// A warning if the filter uses verdicts without a lease.
fn sync_warning(sync_wait_ms: Option<u64>, cache: &CacheLimits) -> Option<Problem> {
    let message = format!(
        "off: edges receive no changes, so a deleted key works for up to {} ms more (cache.active_ttl_ms)",
        cache.active_ttl_ms
    );
    sync_wait_ms.is_none().then_some(Problem { path: "sync".to_owned(), message })
}

fn serve_stale_ms(fields: &mut Fields<'_>, syncs: bool) -> Option<u64> {
    let mut fields = fields.take_fields("on_unavailable");
    let seconds = fields.take_number("serve_stale_s", 0..=DAY_MS / 1_000);
    if seconds.is_some() && !syncs {
        fields.problem(
            "serve_stale_s",
            "must not be set with sync: off, because it counts from the end of a lease",
        );
    }
    fields.finish();
    seconds.map(|seconds| seconds * 1_000)
}

fn cache(fields: &mut Fields<'_>, syncs: bool) -> CacheLimits {
    let (active_ttl_ms, longest_ms) = if syncs { (600_000, DAY_MS) } else { (5_000, 60_000) };
    let mut fields = fields.take_fields("cache");
    let limits = CacheLimits {
        max_active: fields.take_number("max_active", 1..=10_000_000).unwrap_or(100_000) as usize,
        max_inactive: fields.take_number("max_inactive", 1..=10_000_000).unwrap_or(10_000) as usize,
        active_ttl_ms: fields.take_number("active_ttl_ms", 0..=longest_ms).unwrap_or(active_ttl_ms),
        inactive_ttl_ms: fields.take_number("inactive_ttl_ms", 0..=DAY_MS).unwrap_or(2_000),
    };
    fields.finish();
    limits
}

fn lookups(fields: &mut Fields<'_>) -> LookupLimits {
    let mut fields = fields.take_fields("lookups");
    let limits = LookupLimits {
        max_digests: fields.take_number("max_digests", 1..=1_000_000).unwrap_or(2_000) as usize,
        max_waiters: fields.take_number("max_waiters", 1..=1_000_000).unwrap_or(10_000) as usize,
    };
    fields.finish();
    limits
}
