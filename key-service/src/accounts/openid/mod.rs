//! Sign-in with OpenID Connect.
//!
//! - [`settings`] reads the file of the providers;
//! - [`provider`] asks a provider, through [`http`], and verifies its answer to a [`pending`] sign-in;
//! - [`claims`] decides what a verified token says about a user;
//! - [`mod@sign_in`] finds, links or adds the user, and applies the groups;
//! - [`identity`] shows, links and unlinks the accounts at providers;
//! - [`rights`] finds the users who cannot use a password, because groups decide their rights.

mod claims;
mod http;
mod identity;
mod pending;
mod provider;
mod rights;
pub(crate) mod settings;
mod sign_in;

pub(crate) use identity::{LinkedIdentity, UserWithIdentities, link, of_user, of_users, unlink};
pub(crate) use pending::PendingSignIn;
pub(crate) use provider::{AuthorizationResponse, Provider, ProviderError, Providers};
pub(crate) use rights::{deciding_provider, require_no_deciding_provider};
pub(crate) use sign_in::sign_in;
