//! A proxy-wasm filter that checks personal API keys (`Authorization: Bearer phx_…`) inside Envoy and Istio.
//!
//! One request passes these modules in order:
//!
//! 1. [`headers`] and [`request`]: the header bytes become a [`request::RequestHead`], or the request is refused with
//!    an [`ambiguity`]. [`header_policy`] names the headers that are removed or refused.
//! 2. [`route`]: the most specific rule gives the [`route::Access`] that the route needs. A public request is
//!    forwarded.
//! 3. [`credential`]: the `Authorization` header becomes the digest of a key.
//! 4. [`cache`]: while the [`lease`] is held, a cached [`verdict`] decides at once. A key seen before is recognised
//!    without its digest.
//! 5. [`lookup`]: otherwise the request joins the lookup of its key, whose [`answer`] resumes it.
//! 6. [`decision`]: the key's verdict, its [`restriction`] and the route's access make a [`decision::Grant`] or a
//!    [`decision::Denial`].
//! 7. [`reply`]: a denial becomes the documented response. In shadow [`mode`], the request is forwarded without
//!    identity instead.
//!
//! [`filter`] is this order as code. These modules are pure: they take values, the time included, and return what the
//! caller has to do. Only `proxy` calls the host; it is compiled for Wasm only.

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
pub mod mode;
#[cfg(target_arch = "wasm32")]
mod proxy;
pub mod reply;
pub mod request;
pub mod restriction;
pub mod route;
mod tag;
pub mod usage;
pub mod verdict;
