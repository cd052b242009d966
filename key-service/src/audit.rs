//! The audit log: who did what to which account, key or token, when, and from where.
//!
//! An entry is written in the transaction of what it tells, so that neither is there without the other.

use std::net::IpAddr;

use protocol::KeyDigest;
use serde::Serialize;
use serde_json::Value;
use sqlx::AnyConnection;
use utoipa::ToSchema;

use crate::accounts::User;
use crate::clock::Timestamp;
use crate::paging::{Found, Page};
use crate::store::{Database, audit as store};

pub(crate) mod refusals;

/// Who does something, and from where.
#[derive(Clone, Debug)]
pub struct Actor {
    /// What kind of actor it is.
    pub kind: ActorKind,
    /// The user's or the management token's id.
    pub id: Option<String>,
    /// The user's address, the token's label, or the name of the command line's user.
    pub name: String,
    /// Where the request came from.
    pub address: Option<IpAddr>,
    /// Under which id the request is logged.
    pub request_id: Option<String>,
    /// The session that the request came with.
    pub(crate) session: Option<ActorSession>,
}

/// What has to be true of a session, and of its user, for as long as it lasts.
#[derive(Clone, Debug)]
pub(crate) struct ActorSession {
    /// Under which digest it is stored. Signing out removes it.
    pub(crate) id_digest: KeyDigest,
    /// The user's session epoch. A new password, among others, raises it.
    pub(crate) epoch: i64,
}

/// The kinds of actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// Somebody with a session.
    User,
    /// Somebody who is not signed in, with a one-time link or wrong credentials.
    Visitor,
    /// Automation.
    ManagementToken,
    /// An operator at the command line.
    CommandLine,
    /// The service itself.
    Service,
}

impl ActorKind {
    /// As JSON and the database have it.
    pub fn as_str(self) -> &'static str {
        match self {
            ActorKind::User => "user",
            ActorKind::Visitor => "visitor",
            ActorKind::ManagementToken => "management_token",
            ActorKind::CommandLine => "command_line",
            ActorKind::Service => "service",
        }
    }
}

impl Actor {
    /// Whoever runs the program, under the name of the system's account.
    pub fn command_line() -> Self {
        let name = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
        Actor { kind: ActorKind::CommandLine, name: name.unwrap_or_default(), ..Actor::service() }
    }

    /// Whether it is automation.
    pub(crate) fn is_token(&self) -> bool {
        self.kind == ActorKind::ManagementToken
    }

    /// The service itself.
    pub fn service() -> Self {
        let kind = ActorKind::Service;
        Actor { kind, id: None, name: String::new(), address: None, request_id: None, session: None }
    }

    /// The same request, now that it is known whose it is.
    #[must_use]
    pub fn as_user(self, user: &User) -> Self {
        Actor { kind: ActorKind::User, id: Some(user.id.clone()), name: user.email.clone(), ..self }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Action {
    KeyCreated,
    KeyTakenOver,
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
        Action::KeyTakenOver,
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
            Action::KeyTakenOver => "key.taken_over",
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

/// Writes an entry, with the database's time.
pub(crate) async fn record(connection: &mut AnyConnection, by: &Actor, event: Event<'_>) -> sqlx::Result<()> {
    store::insert(connection, by, &[event]).await
}

/// Writes many.
pub(crate) async fn record_all(
    connection: &mut AnyConnection,
    by: &Actor,
    events: &[Event<'_>],
) -> sqlx::Result<()> {
    store::insert(connection, by, events).await
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
    /// What kind of actor did it: [`ActorKind::as_str`].
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
    pub page: Page,
}

/// The addresses from which the user with that address signed in within so many seconds.
pub(crate) async fn sign_in_addresses(
    database: &Database,
    email: &str,
    within_s: u32,
) -> sqlx::Result<Vec<IpAddr>> {
    let actions = [Action::UserSignedIn, Action::LinkUsed];
    let addresses = store::addresses(database.pool(), email, actions, within_s).await?;
    Ok(addresses.iter().filter_map(|address| address.parse().ok()).collect())
}

/// Entries, newest first.
///
/// # Errors
/// The database failed.
pub async fn search(database: &Database, search: &AuditSearch) -> sqlx::Result<Found<Entry>> {
    store::search(database.pool(), search).await
}
