//! A proxy-wasm filter that checks personal API keys (`Authorization: Bearer phx_…`) inside Envoy and Istio.
//!
//! The story of one request, in order:
//!
//! 1. [`headers`] and [`request`]: the header bytes become a [`request::RequestHead`], or the request is refused
//!    because two hops could read it differently. [`header_policy`] names the headers that are removed or refused.
//! 2. [`route`]: the most specific rule says which [`route::Access`] the route needs. A public one is forwarded.
//! 3. [`credential`]: the `Authorization` header becomes the digest of a key.
//! 4. [`cache`]: what is remembered of the key decides at once while the [`lease`] says it may, or else
//! 5. [`lookup`]: the request joins the one outstanding question about the key, whose [`answer`] wakes it.
//! 6. [`decision`]: the key's verdict and the route's access make a [`decision::Grant`] or a [`decision::Denial`].
//! 7. [`reply`]: a denial becomes the documented response.
//!
//! [`filter`] is that story as code. All of these are pure: they take values and return what is to be done. Only
//! `proxy`, compiled for Wasm alone, calls the host.

#![deny(unsafe_code)]

pub mod address;
pub mod ambiguity;
pub mod answer;
pub mod cache;
pub mod clock;
pub mod config;
pub mod credential;
pub mod decision;
pub mod filter;
pub mod header_policy;
pub mod headers;
pub mod lease;
pub mod lookup;
pub mod metrics;
#[cfg(target_arch = "wasm32")]
mod proxy;
pub mod reply;
pub mod request;
pub mod route;
pub mod usage;
pub mod verdict;
