//! A user, and the valid addresses of users.

use std::str::FromStr;

use deserr::Deserr;
use protocol::ScopeSet;
use serde::Serialize;
use serde_json::Value;
use sqlx::AnyConnection;
use utoipa::ToSchema;

use super::address::UserKind;
use super::passwords::PasswordHash;
use crate::audit::{self, Action, Actor, ActorKind, Event};
use crate::db;
use crate::time::Timestamp;
use crate::validation::{Violation, is_bidi_control};

/// The most characters of an email address (RFC 5321, section 4.5.3.1.3, less the brackets).
const MAX_EMAIL_CHARS: usize = 254;

/// A user. Its JSON form has neither the password's hash nor the fields that only the service uses.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct User {
    /// Opaque and never reused.
    pub id: String,
    /// What kind of user it is.
    pub kind: UserKind,
    /// In lower case; unique. A service account has `service:` and its name instead.
    pub email: String,
    /// The most that any key of the user can do.
    #[schema(value_type = Vec<String>)]
    pub permissions: ScopeSet,
    /// Whether the user may manage other users.
    pub is_admin: bool,
    /// Whether the user can sign in and the user's keys work.
    pub is_active: bool,
    /// When the account was created.
    pub created_at: Timestamp,
    /// Whether the user has a password to sign in with.
    pub has_password: bool,
    /// Whether the user has signed in with an OpenID provider.
    pub has_identity: bool,
    /// The hash of the user's password.
    #[serde(skip)]
    pub(crate) password_hash: PasswordHash,
    /// Whether the holder of a management token may know the password.
    #[serde(skip)]
    pub(crate) is_password_from_token: bool,
    /// A session that began under another version is over.
    #[serde(skip)]
    pub(crate) session_version: i64,
}

impl User {
    /// A new user without a password.
    pub(crate) fn without_password(
        id: String,
        email: String,
        permissions: ScopeSet,
        created_at: Timestamp,
    ) -> Self {
        User {
            id,
            kind: UserKind::of(&email),
            email,
            permissions,
            is_admin: false,
            is_active: true,
            created_at,
            has_password: false,
            has_identity: false,
            password_hash: PasswordHash::default(),
            is_password_from_token: false,
            session_version: 0,
        }
    }

    /// The user as the actor of audit entries, with the request and client address of `from`.
    #[must_use]
    pub fn acting(&self, from: Actor) -> Actor {
        Actor { kind: ActorKind::User, id: Some(self.id.clone()), name: self.email.clone(), ..from }
    }
}

/// The form in which an email address is stored and compared.
pub(crate) fn normal_email(email: &str) -> Result<String, Violation> {
    let email = email.trim().to_lowercase();
    if email.is_empty() {
        return Err(Violation::blank());
    }
    let (name, domain) = email.split_once('@').unwrap_or_default();
    let odd = |c: char| c.is_whitespace() || c.is_control();
    if name.is_empty() || domain.is_empty() || email.contains(odd) {
        return Err(Violation::input("Enter a valid email address."));
    }
    if email.chars().count() > MAX_EMAIL_CHARS {
        return Err(Violation::too_long(MAX_EMAIL_CHARS));
    }
    Ok(email)
}

/// The email address of a new user, in lower case.
//
// Users of earlier releases may have bidirectional controls in theirs; they can still sign in, and admins can find and
// disable them.
#[derive(Clone, Debug, PartialEq, Eq, Deserr, ToSchema)]
#[deserr(try_from(&String) = Email::from_str -> Violation)]
#[schema(
    value_type = String,
    max_length = 254,
    pattern = r"^[^@\s\x00-\x1f\x7f-\x9f]+@[^\s\x00-\x1f\x7f-\x9f]+$"
)]
pub struct Email(String);

impl FromStr for Email {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        let email = normal_email(text)?;
        if email.contains(is_bidi_control) {
            return Err(Violation::input("Bidirectional control characters are not allowed."));
        }
        Ok(Email(email))
    }
}

impl AsRef<str> for Email {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<Email> for String {
    fn from(email: Email) -> String {
        email.0
    }
}

/// Records an action on an account in the audit log.
pub(super) async fn log(
    connection: &mut AnyConnection,
    by: &Actor,
    action: Action,
    user_id: &str,
    detail: &Value,
) -> db::Result<()> {
    audit::record(connection, by, Event { action, user_id: Some(user_id), subject: None, detail }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_compared_without_letter_case_and_outer_space() {
        assert_eq!(normal_email(" Demo@Example.COM ").unwrap(), "demo@example.com");
    }

    #[test]
    fn a_text_that_is_not_an_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(MAX_EMAIL_CHARS));
        for email in
            ["", "demo", "@example.com", "demo@", "de mo@example.com", "demo@exa\u{7}mple.com", &long]
        {
            assert!(normal_email(email).is_err(), "{email:?}");
        }
    }
}
