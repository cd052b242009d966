//! The filter in a real Envoy, with a real key service and upstream, over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation should stop the test"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests measure and wait by the real clock, and read their own settings"
)]

mod account;
mod client;
mod client_http2;
mod configuration;
mod cutoff;
mod delay;
mod envoy_gateway;
mod flood;
mod holding;
mod istio;
mod keys;
mod limits;
mod load;
mod lookups;
mod outage;
mod per_key;
mod recovery;
mod replicas;
mod requests;
mod resources;
mod restricted;
mod revocation;
mod shadow;

use serde_json::{Value, json};
use test_stack::envoy::configuration::Shape;
use test_stack::{Envoy, Options, Stack};

/// The key of the public documentation's examples: it may do everything.
const DOCUMENTED: &str = "phx_1234567890abcdef";
/// A key that may read insights.
const INSIGHTS_ONLY: &str = "phx_demo_insights_only";

const NOT_AUTHENTICATED: &str = r#"{"detail":"Authentication credentials were not provided."}"#;
const NOT_PERMITTED: &str = r#"{"detail":"You do not have permission to perform this action."}"#;

/// A stack as shipped.
fn stack() -> Stack {
    stack_with(json!({}))
}

/// A stack in which the filter gets requests that Envoy refuses with the shipped configuration. Istio refuses none.
fn unguarded_stack() -> Stack {
    let envoy_config: &[_] = match Shape::selected() {
        Shape::Envoy | Shape::EnvoyGateway => {
            &[("headers_with_underscores_action: REJECT_REQUEST", "headers_with_underscores_action: ALLOW")]
        }
        Shape::Istio => &[],
    };
    Stack::temporary(&Options { envoy_config, ..Options::default() })
        .unwrap_or_else(|error| panic!("{error:#}"))
}

/// A stack whose filter's settings are changed by a merge patch.
fn stack_with(filter: Value) -> Stack {
    Stack::temporary(&Options { filter, ..Options::default() }).unwrap_or_else(|error| panic!("{error:#}"))
}

/// Starts an Envoy anew with another configuration.
fn reconfigure(envoy: &Envoy, places: &[(&str, &str)]) {
    envoy.process().stop().unwrap();
    let mut text = std::fs::read_to_string(envoy.config()).unwrap();
    for (from, to) in places {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text = text.replace(from, to);
    }
    std::fs::write(envoy.config(), text).unwrap();
    envoy.process().start().unwrap();
}
