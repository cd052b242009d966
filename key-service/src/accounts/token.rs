//! A management token, and the reasons to refuse it.

use protocol::{KeyDigest, secret_from_entropy};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::KeyAccess;
use super::verb::{Verb, Verbs};
use crate::audit::{Actor, ActorKind};
use crate::time::Timestamp;

/// The prefix of every management token.
pub const TOKEN_PREFIX: &str = "ekm_";

/// A management token as it is stored: everything but its value.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ManagementToken {
    /// Opaque and never reused.
    pub id: String,
    /// The name that its creator gave it.
    pub label: String,
    /// The first and the last characters of its value.
    pub mask_value: String,
    /// The ids of the users whose keys it manages; `null` for all that are not admins.
    #[schema(required)]
    pub user_ids: Option<Vec<String>>,
    /// The operations that it may perform on them.
    #[schema(value_type = Vec<Verb>)]
    pub can: Verbs,
    /// When it was created.
    pub created_at: Timestamp,
    /// The creator: the address of an admin, as it was then, or the name of the operator at the command line.
    pub created_by: String,
    /// The id of the admin that created it; `None` for the command line.
    #[serde(skip)]
    pub(crate) created_by_id: Option<String>,
    /// The time from which it is refused; `null` for never.
    #[schema(required)]
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the hour.
    #[schema(required)]
    pub last_used_at: Option<Timestamp>,
    /// When it ended because its creator was disabled, demoted or deleted, one of its users was promoted to admin, or the
    /// last of its users was deleted; `null` if it did not end.
    #[schema(required)]
    pub ended_at: Option<Timestamp>,
}

impl ManagementToken {
    /// The keys that it manages.
    pub fn access(&self) -> KeyAccess<'_> {
        match &self.user_ids {
            None => KeyAccess::Members,
            Some(ids) => KeyAccess::Users(ids),
        }
    }

    /// The token as the audit log names it. `from` is the request.
    #[must_use]
    pub fn actor(&self, from: Actor) -> Actor {
        Actor {
            kind: ActorKind::ManagementToken,
            id: Some(self.id.clone()),
            name: self.label.clone(),
            ..from
        }
    }
}

/// The JSON form of a token that was just created.
#[derive(Serialize, ToSchema)]
#[schema(as = NewManagementToken)]
pub struct NewTokenView<'a> {
    #[serde(flatten)]
    token: &'a ManagementToken,
    /// The token itself: present in the answer that created it, null in the answer to a repetition of that request.
    #[schema(required)]
    value: Option<&'a str>,
}

impl ManagementToken {
    /// The token's JSON form, with its value if it was just created.
    pub fn with_value<'a>(&'a self, value: Option<&'a TokenValue>) -> NewTokenView<'a> {
        NewTokenView { token: self, value: value.map(TokenValue::reveal) }
    }
}

/// A token's value: a new one, which is shown once, or the one of a request. It is not printed and cannot be serialised.
#[derive(Debug)]
pub struct TokenValue(SecretString);

impl TokenValue {
    /// A new value with 256 random bits.
    pub(super) fn from_entropy(entropy: [u8; 32]) -> Self {
        TokenValue(secret_from_entropy(TOKEN_PREFIX, entropy).into())
    }

    /// The bearer token of a request, if it has the prefix of a management token.
    pub fn presented(bearer: &[u8]) -> Option<Self> {
        let value = std::str::from_utf8(bearer).ok().filter(|value| value.starts_with(TOKEN_PREFIX))?;
        Some(TokenValue(value.into()))
    }

    /// The digest under which the token is stored.
    pub(super) fn digest(&self) -> TokenDigest {
        TokenDigest(KeyDigest::of_value(self.reveal()))
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

/// The digest under which a management token is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenDigest(KeyDigest);

impl TokenDigest {
    /// The digest as it is stored.
    pub(super) fn to_hex(self) -> String {
        self.0.to_hex()
    }
}

/// Why a token is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// It is not a token, or was revoked.
    #[error("The management token is invalid: it was mistyped or revoked.")]
    Unknown,
    /// Its time has run out.
    #[error("The management token has expired.")]
    Expired(Box<ManagementToken>),
    /// Its creator was disabled, demoted or deleted, a member that it names was promoted to admin, or the last of its users
    /// was deleted.
    #[error(
        "The management token has ended: the admin that created it was disabled, demoted or deleted, one of its users was \
         promoted to admin, or the last of its users was deleted."
    )]
    Ended(Box<ManagementToken>),
}

/// The token that was found, if it works.
pub(super) fn check(token: Option<ManagementToken>, now: Timestamp) -> Result<ManagementToken, Refusal> {
    match token {
        None => Err(Refusal::Unknown),
        Some(token) if token.ended_at.is_some() => Err(Refusal::Ended(token.into())),
        Some(token) if token.expires_at.is_some_and(|end| end <= now) => Err(Refusal::Expired(token.into())),
        Some(token) => Ok(token),
    }
}
