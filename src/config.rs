//! The filter's configuration. It is validated as a whole, and each problem names the path of its field.

use std::fmt;

use serde_json::Value;

use crate::cache::CacheLimits;
use crate::decision::Grant;
use crate::header_policy::HeaderPolicy;
use crate::lookup::LookupLimits;
use crate::mode::Mode;
use crate::reply::ErrorBodies;
use crate::route::{RouteTable, Rule};

mod fields;
mod header_names;
mod modes;
mod read;
mod rules;
mod structs;
#[cfg(test)]
mod tests;

/// A validated configuration.
#[derive(Debug)]
pub struct Config {
    /// The key service.
    pub key_service: KeyService,
    /// How requests are judged, answered and forwarded.
    pub policy: Policy,
    /// The limits of the cache.
    pub cache: CacheLimits,
    /// The limits of the lookups.
    pub lookups: LookupLimits,
    /// Settings that are valid and probably a mistake.
    pub warnings: Vec<Problem>,
}

/// The key service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyService {
    /// The name of the Envoy cluster of the edge API.
    pub cluster: String,
    /// The `:authority` of callouts.
    pub authority: String,
    /// The timeout of a callout, in milliseconds.
    pub timeout_ms: u32,
    /// The environment variable of the VM that holds the edge token.
    pub token_env: String,
}

/// How requests are judged, answered and forwarded.
#[derive(Debug)]
pub struct Policy {
    /// Whether refusals are enforced. A rule may have a mode of its own.
    pub mode: Mode,
    /// The route table.
    pub routes: RouteTable,
    /// The `realm` of `WWW-Authenticate` (RFC 9110 section 11.5).
    pub realm: String,
    /// The shape of error bodies.
    pub error_bodies: ErrorBodies,
    /// Whether CORS preflights are forwarded without a key.
    pub forward_preflights: bool,
    /// The headers that carry the caller's identity upstream.
    pub identity_headers: IdentityHeaders,
    /// The request headers that are removed or refused.
    pub header_policy: HeaderPolicy,
    /// Whether the key is removed before the request is forwarded.
    pub hide_credentials: bool,
    /// How long the key service may hold a sync without changes, in milliseconds; `None` if the filter sends no syncs and
    /// uses cached verdicts without a lease.
    pub sync_wait_ms: Option<u64>,
    /// How long after the end of the lease an active verdict may be used while the key service does not answer, in
    /// milliseconds; `None` for not at all.
    pub serve_stale_ms: Option<u64>,
}

impl Policy {
    /// Whether cached verdicts need a lease, which syncs bring. If not, they are used for their time to live.
    pub fn syncs(&self) -> bool {
        self.sync_wait_ms.is_some()
    }
}

/// A header that carries a part of the caller's identity upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeader {
    /// Its name in lower case. It is removed from every request.
    pub name: Box<str>,
    /// Whether granted requests get it.
    pub is_sent: bool,
}

/// The headers that carry the caller's identity upstream: user id, key id, scopes and restrictions, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders(pub [IdentityHeader; 4]);

impl IdentityHeaders {
    /// The names and values of the headers for a granted request.
    pub fn of<'a>(&'a self, grant: &'a Grant) -> impl Iterator<Item = (&'a str, &'a str)> {
        let with_values = self.0.iter().zip(grant.header_values());
        with_values.filter(|(header, _)| header.is_sent).map(|(header, value)| (&*header.name, value))
    }
}

/// A rule with its template as the configuration has it.
#[derive(Clone, Debug)]
pub struct WrittenRule {
    /// Its index in the list.
    pub at: usize,
    /// The text of the template, such as `/api/projects/{project_id}`.
    pub template: String,
    /// The rule.
    pub rule: Rule,
}

/// One problem of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path of the field, such as `routes[3].path`.
    pub path: String,
    /// The problem.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// A route table that is shipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShippedTable {
    /// The documented one, which applies where `routes` is absent.
    Documented,
    /// The routes of PostHog of today.
    Posthog,
}

impl ShippedTable {
    /// The table that the setting `routes` names; `None` for a list of rules.
    pub fn named_by(routes: &Value) -> Option<Self> {
        match routes {
            Value::Null => Some(ShippedTable::Documented),
            Value::String(name) if name == "documented" => Some(ShippedTable::Documented),
            Value::String(name) if name == "posthog" => Some(ShippedTable::Posthog),
            _ => None,
        }
    }

    /// Its name in the setting `routes`.
    pub fn name(self) -> &'static str {
        match self {
            ShippedTable::Documented => "documented",
            ShippedTable::Posthog => "posthog",
        }
    }

    /// Whether its upstream may ignore letter case, which the rules then have to consider.
    fn may_upstream_ignore_case(self) -> bool {
        match self {
            ShippedTable::Documented => true,
            // PostHog does not ignore it.
            ShippedTable::Posthog => false,
        }
    }

    /// Its rules.
    fn json(self) -> &'static str {
        match self {
            ShippedTable::Documented => include_str!("config/default_routes.json"),
            ShippedTable::Posthog => include_str!("config/posthog_routes.json"),
        }
    }
}
