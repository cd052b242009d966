//! The filter's configuration: read as written, validated as a whole, every problem reported with its field's path.

use std::fmt;

use crate::cache::CacheLimits;
use crate::header_policy::HeaderPolicy;
use crate::lookup::LookupLimits;
use crate::reply::ErrorBodies;
use crate::route::RouteTable;

mod fields;
mod header_names;
mod read;
mod structs;
#[cfg(test)]
mod tests;

/// A validated configuration.
#[derive(Debug)]
pub struct Config {
    /// Where and how keys are looked up.
    pub key_service: KeyService,
    /// What each request needs and what is answered and forwarded.
    pub policy: Policy,
    /// How many verdicts are kept, and for how long.
    pub cache: CacheLimits,
    /// How much may wait for answers.
    pub lookups: LookupLimits,
    /// What is probably not meant.
    pub warnings: Vec<Problem>,
}

/// Where and how keys are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyService {
    /// The name of the Envoy cluster of the edge API.
    pub cluster: String,
    /// The `:authority` of callouts.
    pub authority: String,
    /// How long a callout may take, in milliseconds.
    pub timeout_ms: u32,
    /// The environment variable of the VM that holds the edge token.
    pub token_env: String,
}

/// What each request needs and what is answered and forwarded.
#[derive(Debug)]
pub struct Policy {
    /// The rules.
    pub routes: RouteTable,
    /// The `realm` of `WWW-Authenticate` (RFC 9110 section 11.5).
    pub realm: String,
    /// The shape of error bodies.
    pub error_bodies: ErrorBodies,
    /// Whether CORS preflights pass without identity.
    pub forward_preflights: bool,
    /// The headers that carry the caller's identity upstream.
    pub identity_headers: IdentityHeaders,
    /// The request headers that are removed or refused.
    pub header_policy: HeaderPolicy,
    /// Whether an accepted key is kept from the upstream.
    pub hide_credentials: bool,
    /// How long the key service may hold back a sync that has nothing new, in milliseconds.
    pub sync_wait_ms: u64,
    /// How long after its lease an active verdict may be used while the key service does not answer, in milliseconds;
    /// `None` for not at all.
    pub serve_stale_ms: Option<u64>,
}

/// The headers that carry the caller's identity upstream: user id, key id and scopes, in this order, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders(pub [Box<str>; 3]);

/// One thing wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: `routes[3].path`.
    pub path: String,
    /// What.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// The documented table, written as a configuration writes `routes`: what applies where there are none.
const DEFAULT_ROUTES: &str = include_str!("config/default_routes.json");
