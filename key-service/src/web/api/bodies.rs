//! The bodies of requests, for the OpenAPI document. The handlers read them field by field, so that each error can name
//! its field.
#![allow(dead_code, reason = "they describe what the handlers read")]

use std::borrow::Cow;

use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::keys::rules::SCOPE_OBJECTS;
use crate::time::Timestamp;

/// A scope that names an object there is.
pub(super) struct ScopeName;

impl ToSchema for ScopeName {
    fn name() -> Cow<'static, str> {
        "Scope".into()
    }
}

impl PartialSchema for ScopeName {
    fn schema() -> RefOr<Schema> {
        let of_objects =
            SCOPE_OBJECTS.iter().flat_map(|object| [format!("{object}:read"), format!("{object}:write")]);
        let names = std::iter::once("*".to_owned()).chain(of_objects);
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
    }
}

/// Who signs in.
#[derive(ToSchema)]
pub(super) struct Credentials {
    #[schema(min_length = 1)]
    email: String,
    #[schema(min_length = 1)]
    password: String,
}

/// A new key.
#[derive(ToSchema)]
pub(super) struct NewKey {
    /// The owner's own words for it.
    #[schema(
        min_length = 1,
        max_length = 40,
        pattern = r"^[^\x00\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]*[^\s\x00\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069][^\x00\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]*$"
    )]
    label: String,
    /// `*`, or `object:read` and `object:write`; write includes read.
    #[schema(min_items = 1, examples(json!(["insight:read"])))]
    scopes: Vec<ScopeName>,
    /// From when on it is refused; null or absent for never.
    expires_at: Option<Timestamp>,
    /// Whose key it will be: to be named with a management token, oneself in a session.
    #[schema(nullable = false)]
    user_id: Option<String>,
}

/// What to change of a key. What is absent stays.
#[derive(ToSchema)]
pub(super) struct KeyChanges {
    #[schema(
        min_length = 1,
        max_length = 40,
        pattern = r"^[^\x00\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]*[^\s\x00\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069][^\x00\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]*$",
        nullable = false
    )]
    label: Option<String>,
    #[schema(min_items = 1, nullable = false)]
    scopes: Option<Vec<ScopeName>>,
    /// Null takes the end away.
    expires_at: Option<Timestamp>,
}

/// How a key gets a new value.
#[derive(ToSchema)]
pub(super) struct Roll {
    /// How long the old value works on, in seconds; 0, or absent, ends every old value at once.
    #[schema(minimum = 0, maximum = 604800, nullable = false)]
    grace_s: Option<u32>,
}

/// Another password for oneself.
#[derive(ToSchema)]
pub(super) struct PasswordChange {
    #[schema(min_length = 1)]
    current_password: String,
    #[schema(min_length = 8, max_length = 1024)]
    password: String,
}

/// A new user.
#[derive(ToSchema)]
pub(super) struct NewUser {
    #[schema(max_length = 254, pattern = r"^[^@\s\x00-\x1f\x7f-\x9f]+@[^\s\x00-\x1f\x7f-\x9f]+$")]
    email: String,
    /// Without one, the user chooses it by a one-time link.
    #[schema(min_length = 8, max_length = 1024, nullable = false)]
    password: Option<String>,
    /// The most that any key of the user can do.
    permissions: Vec<ScopeName>,
    /// Whether the user may manage other users. A management token cannot make admins.
    #[schema(nullable = false)]
    is_admin: Option<bool>,
}

/// What to change of a user. What is absent stays.
#[derive(ToSchema)]
pub(super) struct UserChanges {
    #[schema(nullable = false)]
    permissions: Option<Vec<ScopeName>>,
    /// False shuts the user and every key of the user out.
    #[schema(nullable = false)]
    is_active: Option<bool>,
    /// Whether the user may manage other users. A management token can change no admin, and make none.
    #[schema(nullable = false)]
    is_admin: Option<bool>,
}

/// A new management token.
#[derive(ToSchema)]
pub(super) struct NewToken {
    #[schema(
        min_length = 1,
        max_length = 40,
        pattern = r"^[^\x00\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]*[^\s\x00\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069][^\x00\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]*$"
    )]
    label: String,
    /// The users whose keys it manages; null for all who are no admins, which lets it manage their accounts too.
    #[schema(required)]
    user_ids: Option<Vec<String>>,
    /// What it can do to them; `read` alone, if absent.
    #[schema(min_items = 1, nullable = false)]
    can: Option<Vec<crate::accounts::management_tokens::Verb>>,
    /// From when on it is refused; null or absent for never.
    expires_at: Option<Timestamp>,
}

/// A report of leaked values.
#[derive(ToSchema)]
pub(super) struct LeakReport {
    #[schema(min_items = 1, max_items = 100)]
    values: Vec<String>,
    /// Where they were found.
    #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
    source: String,
}

/// What a report did.
#[derive(ToSchema)]
pub(super) struct LeakAnswer {
    /// For each value, in the order of the report.
    results: Vec<crate::keys::leaks::Outcome>,
    /// How their end came into force.
    revocation: crate::revocation::propagation::Revocation,
}

/// A key that is gone.
#[derive(ToSchema)]
pub(super) struct DeletedKey {
    id: String,
    revocation: crate::revocation::propagation::Revocation,
}

/// A one-time link.
#[derive(ToSchema)]
pub(super) struct Link {
    /// The path of the page where the user chooses a password, once. It is a secret.
    path: String,
    /// How long it works, in seconds.
    expires_in_s: u32,
}
