//! What an entry of the log says.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::paging::PageRequest;
use crate::time::Timestamp;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Action {
    KeyCreated,
    KeyAdopted,
    KeyImported,
    KeyUpdated,
    KeyRolled,
    KeyDeleted,
    KeyLeaked,
    LeakReported,
    UserAdded,
    UserDisabled,
    UserEnabled,
    UserPermissionsChanged,
    UserAdminChanged,
    UserPasswordChanged,
    UserPasswordChangeRefused,
    UserSignedIn,
    UserSignInRefused,
    UserSignInThrottled,
    UserSignedOut,
    LinkCreated,
    LinkUsed,
    TokenCreated,
    TokenRevoked,
    TokenEnded,
    TokenRefused,
    DatabaseExported,
    DatabaseBackedUp,
}

impl Action {
    /// All of them, for lists of choices.
    pub const ALL: [Action; 27] = [
        Action::KeyCreated,
        Action::KeyAdopted,
        Action::KeyImported,
        Action::KeyUpdated,
        Action::KeyRolled,
        Action::KeyDeleted,
        Action::KeyLeaked,
        Action::LeakReported,
        Action::UserAdded,
        Action::UserDisabled,
        Action::UserEnabled,
        Action::UserPermissionsChanged,
        Action::UserAdminChanged,
        Action::UserPasswordChanged,
        Action::UserPasswordChangeRefused,
        Action::UserSignedIn,
        Action::UserSignInRefused,
        Action::UserSignInThrottled,
        Action::UserSignedOut,
        Action::LinkCreated,
        Action::LinkUsed,
        Action::TokenCreated,
        Action::TokenRevoked,
        Action::TokenEnded,
        Action::TokenRefused,
        Action::DatabaseExported,
        Action::DatabaseBackedUp,
    ];

    /// As JSON and the database have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::KeyCreated => "key.created",
            Action::KeyAdopted => "key.adopted",
            Action::KeyImported => "key.imported",
            Action::KeyUpdated => "key.updated",
            Action::KeyRolled => "key.rolled",
            Action::KeyDeleted => "key.deleted",
            Action::KeyLeaked => "key.leaked",
            Action::LeakReported => "leak.reported",
            Action::UserAdded => "user.added",
            Action::UserDisabled => "user.disabled",
            Action::UserEnabled => "user.enabled",
            Action::UserPermissionsChanged => "user.permissions_changed",
            Action::UserAdminChanged => "user.admin_changed",
            Action::UserPasswordChanged => "user.password_changed",
            Action::UserPasswordChangeRefused => "user.password_change_refused",
            Action::UserSignedIn => "user.signed_in",
            Action::UserSignInRefused => "user.sign_in_refused",
            Action::UserSignInThrottled => "user.sign_in_throttled",
            Action::UserSignedOut => "user.signed_out",
            Action::LinkCreated => "link.created",
            Action::LinkUsed => "link.used",
            Action::TokenCreated => "token.created",
            Action::TokenRevoked => "token.revoked",
            Action::TokenEnded => "token.ended",
            Action::TokenRefused => "token.refused",
            Action::DatabaseExported => "database.exported",
            Action::DatabaseBackedUp => "database.backed_up",
        }
    }
}

/// What is told of one thing done.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// What was done.
    pub action: Action,
    /// The id of the user concerned. The log keeps the address too.
    pub user_id: Option<&'a str>,
    /// Id and name of what was dealt with: a key and its label, a token and its label.
    pub subject: Option<(&'a str, &'a str)>,
    /// More about it: an object, or null. What changed is in it as `{"from": …, "to": …}`. Never a secret.
    pub detail: &'a Value,
}

/// An entry of the log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Entry {
    /// Opaque, and in the order of time.
    pub id: String,
    /// When it was done.
    pub at: Timestamp,
    /// What was done: [`Action::as_str`].
    pub action: String,
    /// What kind of actor did it: [`ActorKind::as_str`](super::ActorKind::as_str).
    pub actor_kind: String,
    /// The acting user's or token's id.
    #[schema(required)]
    pub actor_id: Option<String>,
    /// The acting user's address, or the token's label, as it was then.
    pub actor_name: String,
    /// Where the request came from.
    #[schema(required)]
    pub address: Option<String>,
    /// Under which id the request is in the service's log.
    #[schema(required)]
    pub request_id: Option<String>,
    /// The user concerned.
    #[schema(required)]
    pub user_id: Option<String>,
    /// That user's address, as it was then.
    #[schema(required)]
    pub user_email: Option<String>,
    /// The key or token concerned.
    #[schema(required)]
    pub subject_id: Option<String>,
    /// Its label, as it was then.
    #[schema(required)]
    pub subject_name: Option<String>,
    /// What changed.
    #[schema(value_type = Option<Object>, required)]
    pub detail: Value,
}

/// Which entries are wanted.
#[derive(Clone, Debug, Default)]
pub struct AuditSearch {
    /// Only those of this action, or of all whose name begins so: `key.` for all that was done to keys.
    pub action: Option<String>,
    /// Only those that concern the user with this id, or were done by that user.
    pub user_id: Option<String>,
    /// Only those that concern this key or token, by its id.
    pub subject_id: Option<String>,
    /// Only those of this time or later.
    pub since: Option<Timestamp>,
    /// Which part of them.
    pub page: PageRequest,
}
