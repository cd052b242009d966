//! The entries of the audit log.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::actor::ActorKind;
use crate::paging::PageRequest;
use crate::time::Timestamp;

/// An action of the audit log. The attributes hold the names in JSON and in the database; [`strum::VariantNames`] lists
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantNames)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Action {
    #[strum(serialize = "key.created")]
    KeyCreated,
    #[strum(serialize = "key.adopted")]
    KeyAdopted,
    #[strum(serialize = "key.imported")]
    KeyImported,
    #[strum(serialize = "key.updated")]
    KeyUpdated,
    #[strum(serialize = "key.rolled")]
    KeyRolled,
    #[strum(serialize = "key.deleted")]
    KeyDeleted,
    #[strum(serialize = "key.leaked")]
    KeyLeaked,
    #[strum(serialize = "leak.reported")]
    LeakReported,
    #[strum(serialize = "user.added")]
    UserAdded,
    #[strum(serialize = "user.disabled")]
    UserDisabled,
    #[strum(serialize = "user.enabled")]
    UserEnabled,
    #[strum(serialize = "user.deleted")]
    UserDeleted,
    #[strum(serialize = "user.permissions_changed")]
    UserPermissionsChanged,
    #[strum(serialize = "user.admin_changed")]
    UserAdminChanged,
    #[strum(serialize = "user.password_changed")]
    UserPasswordChanged,
    #[strum(serialize = "user.password_change_refused")]
    UserPasswordChangeRefused,
    #[strum(serialize = "user.signed_in")]
    UserSignedIn,
    #[strum(serialize = "user.sign_in_refused")]
    UserSignInRefused,
    #[strum(serialize = "user.sign_in_throttled")]
    UserSignInThrottled,
    #[strum(serialize = "user.signed_out")]
    UserSignedOut,
    #[strum(serialize = "user.identity_linked")]
    UserIdentityLinked,
    #[strum(serialize = "user.identity_unlinked")]
    UserIdentityUnlinked,
    #[strum(serialize = "link.created")]
    LinkCreated,
    #[strum(serialize = "link.used")]
    LinkUsed,
    #[strum(serialize = "token.created")]
    TokenCreated,
    #[strum(serialize = "token.revoked")]
    TokenRevoked,
    #[strum(serialize = "token.ended")]
    TokenEnded,
    #[strum(serialize = "token.refused")]
    TokenRefused,
    #[strum(serialize = "database.exported")]
    DatabaseExported,
    #[strum(serialize = "database.backed_up")]
    DatabaseBackedUp,
}

impl Action {
    /// The name in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// One action, as the caller describes it.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The action.
    pub action: Action,
    /// The id of the user concerned. The log adds the user's address.
    pub user_id: Option<&'a str>,
    /// The id and label of the key or token concerned.
    pub subject: Option<(&'a str, &'a str)>,
    /// Details: an object or null, without secrets. A changed field is `{"from": …, "to": …}`.
    pub detail: &'a Value,
}

/// An entry of the log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Entry {
    /// An opaque id; ids sort by time.
    pub id: String,
    /// The time of the action.
    pub at: Timestamp,
    /// The action, such as `key.created`.
    pub action: String,
    /// The kind of the actor.
    pub actor_kind: ActorKind,
    /// The acting user's or token's id.
    #[schema(required)]
    pub actor_id: Option<String>,
    /// The acting user's address, or the token's label, as it was then.
    pub actor_name: String,
    /// The client's address.
    #[schema(required)]
    pub address: Option<String>,
    /// The id of the request in the service's log.
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

/// The criteria of a search.
#[derive(Clone, Debug, Default)]
pub struct AuditSearch {
    /// Only entries whose action has this name or begins with it: `key.` finds all actions on keys.
    pub action: Option<String>,
    /// Only entries by actors whose name contains this text.
    pub actor: Option<String>,
    /// Only entries that concern a user, key or token whose address or label contains this text.
    pub concerns: Option<String>,
    /// Only entries that concern the user with this id, or that this user caused.
    pub user_id: Option<String>,
    /// Only entries that concern the key or token with this id.
    pub subject_id: Option<String>,
    /// Only entries of this time or later.
    pub since: Option<Timestamp>,
    /// Only entries of this time or earlier.
    pub until: Option<Timestamp>,
    /// The page of results.
    pub page: PageRequest,
}
