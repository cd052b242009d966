//! Sign-in with OpenID Connect.
//!
//! - [`settings`] reads the file of the providers;
//! - [`provider`] asks a provider, through [`http`], and verifies its answer to a [`pending`] sign-in;
//! - [`claims`] decides what a verified token says about a user;
//! - [`mod@sign_in`] finds, links or adds the user, and applies the groups.

mod claims;
mod http;
mod pending;
mod provider;
pub(crate) mod settings;
mod sign_in;

pub(crate) use pending::PendingSignIn;
pub(crate) use provider::{AuthorizationResponse, Provider, ProviderError, Providers};
pub(crate) use sign_in::{providers_of, sign_in};
